-- A store as version 0.1.0 (schema 1) made it: two readers, a move, a deletion, two runs, verdicts, a case done.
BEGIN TRANSACTION;
CREATE TABLE annotations (
	number INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	"case" VARCHAR NOT NULL, 
	x_mm FLOAT NOT NULL, 
	y_mm FLOAT NOT NULL, 
	z_mm FLOAT NOT NULL, 
	existence FLOAT, 
	mass FLOAT, 
	entropy FLOAT, 
	origin VARCHAR NOT NULL, 
	verdict VARCHAR NOT NULL, 
	reader VARCHAR NOT NULL, 
	created_utc VARCHAR NOT NULL, 
	removed BOOLEAN NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (id), 
	FOREIGN KEY("case") REFERENCES cases ("case")
);
INSERT INTO "annotations" VALUES(1,'a','sub-01',7.0,8.0,9.0,NULL,NULL,NULL,'human','','ada','2026-01-02T03:00:00+00:00',0);
INSERT INTO "annotations" VALUES(2,'b','sub-01',2.0,-2.0e-05,3.0,NULL,NULL,NULL,'human','','ada','2026-01-02T03:00:00+00:00',1);
INSERT INTO "annotations" VALUES(3,'q','sub-01',1.5,2.5,3.5,0.9,0.9,0.97,'model','accepted','ada','2026-01-02T03:00:00+00:00',0);
CREATE TABLE candidates (
	number INTEGER NOT NULL, 
	run INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	"case" VARCHAR NOT NULL, 
	x_mm FLOAT NOT NULL, 
	y_mm FLOAT NOT NULL, 
	z_mm FLOAT NOT NULL, 
	existence FLOAT, 
	mass FLOAT, 
	entropy FLOAT, 
	origin VARCHAR NOT NULL, 
	verdict VARCHAR NOT NULL, 
	reader VARCHAR NOT NULL, 
	created_utc VARCHAR NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (run, id), 
	FOREIGN KEY(run) REFERENCES runs (run), 
	FOREIGN KEY("case") REFERENCES cases ("case")
);
INSERT INTO "candidates" VALUES(1,1,'p','sub-01',1.5,2.5,3.5,0.3,0.3,0.97,'model','','','2026-01-02T03:00:00+00:00');
INSERT INTO "candidates" VALUES(2,2,'q','sub-01',1.5,2.5,3.5,0.9,0.9,0.97,'model','accepted','ada','2026-01-02T03:00:00+00:00');
INSERT INTO "candidates" VALUES(3,2,'r','sub-01',1.5,2.5,3.5,0.2,0.2,0.97,'model','rejected','bob','2026-01-02T03:00:00+00:00');
CREATE TABLE cases (
	"case" VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	PRIMARY KEY ("case")
);
INSERT INTO "cases" VALUES('sub-01','in progress');
INSERT INTO "cases" VALUES('sub-02','done');
INSERT INTO "cases" VALUES('sub-03','new');
CREATE TABLE edits (
	number INTEGER NOT NULL, 
	"case" VARCHAR NOT NULL, 
	label VARCHAR NOT NULL, 
	change VARCHAR NOT NULL, 
	reader VARCHAR NOT NULL, 
	utc VARCHAR NOT NULL, 
	PRIMARY KEY (number), 
	FOREIGN KEY("case") REFERENCES cases ("case")
);
INSERT INTO "edits" VALUES(1,'sub-01','add','{"annotations": {"a": [null, {"case": "sub-01", "id": "a", "x_mm": 0.3333333333333333, "y_mm": -2e-05, "z_mm": 3.0, "existence": null, "mass": null, "entropy": null, "origin": "human", "verdict": "", "reader": "ada", "created_utc": "2026-01-02T03:00:00+00:00"}], "b": [null, {"case": "sub-01", "id": "b", "x_mm": 2.0, "y_mm": -2e-05, "z_mm": 3.0, "existence": null, "mass": null, "entropy": null, "origin": "human", "verdict": "", "reader": "ada", "created_utc": "2026-01-02T03:00:00+00:00"}]}, "candidates": {}, "state": ["new", "in progress"]}','ada','2026-01-02T03:04:00+00:00');
INSERT INTO "edits" VALUES(2,'sub-01','move','{"annotations": {"a": [{"case": "sub-01", "id": "a", "x_mm": 0.3333333333333333, "y_mm": -2e-05, "z_mm": 3.0, "existence": null, "mass": null, "entropy": null, "origin": "human", "verdict": "", "reader": "ada", "created_utc": "2026-01-02T03:00:00+00:00"}, {"case": "sub-01", "id": "a", "x_mm": 7.0, "y_mm": 8.0, "z_mm": 9.0, "existence": null, "mass": null, "entropy": null, "origin": "human", "verdict": "", "reader": "ada", "created_utc": "2026-01-02T03:00:00+00:00"}]}, "candidates": {}, "state": null}','ada','2026-01-02T03:04:01+00:00');
INSERT INTO "edits" VALUES(3,'sub-01','delete','{"annotations": {"b": [{"case": "sub-01", "id": "b", "x_mm": 2.0, "y_mm": -2e-05, "z_mm": 3.0, "existence": null, "mass": null, "entropy": null, "origin": "human", "verdict": "", "reader": "ada", "created_utc": "2026-01-02T03:00:00+00:00"}, null]}, "candidates": {}, "state": null}','ada','2026-01-02T03:04:02+00:00');
INSERT INTO "edits" VALUES(4,'sub-01','accepted','{"annotations": {"q": [null, {"case": "sub-01", "id": "q", "x_mm": 1.5, "y_mm": 2.5, "z_mm": 3.5, "existence": 0.9, "mass": 0.9, "entropy": 0.97, "origin": "model", "verdict": "accepted", "reader": "ada", "created_utc": "2026-01-02T03:00:00+00:00"}]}, "candidates": {"q": [{"case": "sub-01", "id": "q", "x_mm": 1.5, "y_mm": 2.5, "z_mm": 3.5, "existence": 0.9, "mass": 0.9, "entropy": 0.97, "origin": "model", "verdict": "", "reader": "", "created_utc": "2026-01-02T03:00:00+00:00"}, {"case": "sub-01", "id": "q", "x_mm": 1.5, "y_mm": 2.5, "z_mm": 3.5, "existence": 0.9, "mass": 0.9, "entropy": 0.97, "origin": "model", "verdict": "accepted", "reader": "ada", "created_utc": "2026-01-02T03:00:00+00:00"}]}, "state": null}','ada','2026-01-02T03:04:05+00:00');
INSERT INTO "edits" VALUES(5,'sub-01','rejected','{"annotations": {}, "candidates": {"r": [{"case": "sub-01", "id": "r", "x_mm": 1.5, "y_mm": 2.5, "z_mm": 3.5, "existence": 0.2, "mass": 0.2, "entropy": 0.97, "origin": "model", "verdict": "", "reader": "", "created_utc": "2026-01-02T03:00:00+00:00"}, {"case": "sub-01", "id": "r", "x_mm": 1.5, "y_mm": 2.5, "z_mm": 3.5, "existence": 0.2, "mass": 0.2, "entropy": 0.97, "origin": "model", "verdict": "rejected", "reader": "bob", "created_utc": "2026-01-02T03:00:00+00:00"}]}, "state": null}','bob','2026-01-02T03:04:06+00:00');
INSERT INTO "edits" VALUES(6,'sub-02','mark as done','{"annotations": {}, "candidates": {}, "state": ["new", "done"]}','bob','2026-01-02T03:04:07+00:00');
CREATE TABLE runs (
	run INTEGER NOT NULL, 
	"case" VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	sigma_mm FLOAT NOT NULL, 
	reader VARCHAR NOT NULL, 
	utc VARCHAR NOT NULL, 
	PRIMARY KEY (run), 
	FOREIGN KEY("case") REFERENCES cases ("case")
);
INSERT INTO "runs" VALUES(1,'sub-01','models/m1',2.0,'ada','2026-01-02T03:04:03+00:00');
INSERT INTO "runs" VALUES(2,'sub-01','models/m2',2.0,'ada','2026-01-02T03:04:04+00:00');
CREATE INDEX ix_annotations_case ON annotations ("case");
CREATE INDEX ix_runs_case ON runs ("case");
CREATE INDEX ix_edits_case ON edits ("case");
CREATE INDEX ix_candidates_case ON candidates ("case");
COMMIT;
PRAGMA user_version = 1;
