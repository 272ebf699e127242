"""The archive station: everything a TorchServe worker needs in one .mar file, and ways to read and run one."""
