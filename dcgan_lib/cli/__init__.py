"""The command line, `python -m dcgan_lib`."""
