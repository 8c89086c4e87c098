# Everything a developer or a curious user needs, on Linux and macOS. `make` alone lists it.
# On Windows, here: pip install ".[all]", then lesion-points demo.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
ARGS ?=
TEXTS := src/napari_lesion_points/locale/napari_lesion_points.pot

# The demo opens a window. On Linux without a display, or when told so, it leaves pictures of the window instead.
ifneq ($(filter --headless,$(ARGS)),)
  DEMO := tools/virtual-display.sh $(BIN)/lesion-points demo
else ifeq ($(shell uname)$(DISPLAY)$(WAYLAND_DISPLAY),Linux)
  DEMO := tools/virtual-display.sh $(BIN)/lesion-points demo --headless
else
  DEMO := $(BIN)/lesion-points demo
endif

.PHONY: help install demo test bench lint format texts pins clean

help:
	@echo "make demo [ARGS=...]  simulate a study, train for two minutes, predict, compare with the truth, open the review"
	@echo "make test [ARGS=...]  lint, types, import contracts, doctests and all tests; ARGS goes to pytest"
	@echo "make bench [ARGS=...] measure against the alternatives; ARGS=learning for the trainings (over an hour)"
	@echo "make lint             the first three of these"
	@echo "make format           let ruff mend what it can"
	@echo "make texts            renew the template of translations from the texts in the code"
	@echo "make install          the virtual environment $(VENV), from constraints.txt (PYTHON=... names the Python to use)"
	@echo "make pins             renew constraints.txt from $(VENV)"
	@echo "make clean            remove $(VENV) and what the tools keep"

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (some minutes the first time) ..."
	@python=$$(tools/find-python.sh $(PYTHON)) && "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[all,test]"
	@touch $@

install: $(STAMP)

demo: install
	@tools/system-libraries.sh $(if $(findstring virtual,$(DEMO)),xvfb)
	@$(DEMO) $(ARGS)

test: lint
	@tools/system-libraries.sh xvfb
	@tools/virtual-display.sh $(BIN)/python -m pytest -n 2 --dist loadgroup --max-worker-restart 0 $(ARGS)

bench: install
	@tools/system-libraries.sh xvfb
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[all,test,bench]"
	@tools/virtual-display.sh $(BIN)/python -m benchmarks $(ARGS)

lint: install
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

texts: install
	@$(BIN)/pybabel -q extract --sort-by-file --add-location=file --add-comments=Translators: \
	  --project=napari-lesion-points --version="$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
	  --header-comment="# Texts of the window. Renewed by make texts." -o $(VENV)/texts src/napari_lesion_points/ui
	@sed '/^"POT-Creation-Date/d; /^"Generated-By/d' $(VENV)/texts > $(TEXTS) && rm $(VENV)/texts

pins: install
	@sed -n '/^#/p' constraints.txt > $(VENV)/pins
	@$(BIN)/python -m pip list --format freeze --exclude pip --exclude napari-lesion-points | sed 's/+.*//' >> $(VENV)/pins
	@mv $(VENV)/pins constraints.txt

clean:
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build
