"""Files and the study's database: volumes, cases, annotations, points in the formats of others."""
