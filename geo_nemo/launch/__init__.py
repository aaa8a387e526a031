"""What `geo-nemo launch` knows of SLURM: checks, the settings that jobs read, calls of sbatch."""
