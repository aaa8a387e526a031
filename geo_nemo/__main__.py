"""`python -m geo_nemo`, which is what torchrun starts."""

from geo_nemo.cli.main import main

if __name__ == "__main__":
    main()
