"""How fast training is, and what makes it so. Taught in notebooks/11_speed_and_scale.ipynb."""
