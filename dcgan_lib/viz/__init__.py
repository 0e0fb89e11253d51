"""Figures and sliders for notebooks; nothing in here changes a result."""

from dcgan_lib.curves import D_COLOUR, G_COLOUR, REAL_COLOUR, LiveCurves, plot_history
from dcgan_lib.viz.explore import error_text, explore, explore_latent, named, style_control
from dcgan_lib.viz.network_diagram import draw_network, shape_table
from dcgan_lib.viz.show import (
    HIDE_STILL,
    described,
    show_picture,
    show_progress,
    show_rows,
    show_source,
    still,
    to_image,
    to_png,
)
