"""``python -m marwright`` and ``accelerate launch -m marwright``."""

from marwright.cli import main

if __name__ == "__main__":
    main()
