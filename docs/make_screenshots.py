"""Make the pictures of the guide: annotate, train, predict, review, segment, each by the window's own buttons.

    python docs/make_screenshots.py STUDY --store STORE --masks "derivatives/**/*sub-07*mask.nii.gz" \
        --annotate sub-07 --predict sub-26 --minutes 2

With --review CASE it makes those of docs/review.md instead: the starter's proposals in a case, judged as the masks say.

    python docs/make_screenshots.py STUDY --store STORE --masks "derivatives/**/*sub-07*mask.nii.gz" --review sub-07

Needs a display (or `xvfb-run -a -s "-screen 0 1440x900x24"`). What is written to the store stays there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from review_pictures import make_review

from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui import staging
from napari_lesion_points.ui.app import Window, open_window


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--masks", default="", help="lesion masks to take points from, relative to the study")
    parser.add_argument("--annotate", default="", help="case to show with its points")
    parser.add_argument("--predict", nargs="*", default=[], help="cases to predict and review (all)")
    parser.add_argument("--segment", default="", help="case to segment, by the store's newest segmentation")
    parser.add_argument("--review", default="", help="make the pictures of the review page, with this case")
    parser.add_argument("--init", default="", help="model to fine-tune, or starter (default: from scratch)")
    parser.add_argument("--minutes", type=float, default=2.0, help="of training")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--size", default="1440x900")
    options = parser.parse_args()
    width, height = (int(n) for n in options.size.split("x"))
    reader = "Dr. A" if options.review else ""
    try:
        window = open_window(options.study, options.store, reader, options.review or options.annotate or None)
    except LesionPointsError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        staging.resize(window, width, height)
        if options.review:
            make_review(window, options.review, options.masks, options.out)
        else:
            make(window, options)
    except LesionPointsError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        window.close()
    return 0


def make(window: Window, options: argparse.Namespace) -> None:
    staging.show_case(window)
    if options.masks:
        print(staging.import_masks_stage(window, options.masks).reason)
    staging.annotate_stage(window, options.annotate)
    staging.capture(window, options.out / "annotate.png")
    picture = options.out / "train.png"
    print(staging.train_stage(window, minutes=options.minutes, init=options.init, picture=picture))
    print(staging.predict_stage(window, options.predict))
    if options.predict:
        staging.show_case(window, options.predict[0])
    staging.capture(window, options.out / "predict.png")
    staging.review_stage(window, options.predict[0] if options.predict else "")
    staging.capture(window, options.out / "review.png")
    if options.segment:
        print(staging.segment_stage(window, options.segment).reason)
        staging.capture(window, options.out / "segment.png")
    window.dock.show_tab("Export")
    staging.capture(window, options.out / "export.png")


if __name__ == "__main__":
    sys.exit(main())
