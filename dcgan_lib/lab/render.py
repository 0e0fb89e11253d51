"""What the live lab shows of a session, as images and words, and of the runs that are over.

Used by `lab.TrainingLab`.
"""

import html

import ipywidgets as widgets
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dcgan_lib.config import Config
from dcgan_lib.history import History
from dcgan_lib.images import grid, side_by_side, stacked
from dcgan_lib.lab.session import CONTROLS, Session, setting
from dcgan_lib.metrics.verdict import VERDICTS, WINDOW
from dcgan_lib.trainer import Trainer
from dcgan_lib.training import Step
from dcgan_lib.viz import D_COLOUR, G_COLOUR, HIDE_STILL, LiveCurves, to_png

COLOURS = {"balanced": "#2e9e5b", "early": "#888888", "restless": "#d08700", "slow": "#d08700"}
RED = "#d64545"  # all other verdicts
MOST_RUNS = 6  # that are over, beside each other
COLUMN = {"width": "15em", "margin": "0 1em 0 0"}
STYLE = (
    HIDE_STILL
    + f"""<style>
.dcgan-lab {{ max-width: 860px; padding: 4px 2px; }}
.dcgan-lab .dcgan-controls {{ padding: 10px 4px 4px; border-radius: 10px; background: rgba(128, 128, 128, 0.09); }}
.dcgan-lab .dcgan-controls > * {{ flex: 1 1 40%; width: auto !important; min-width: 17em; max-width: 32em; }}
.dcgan-lab .widget-button {{ border-radius: 8px; padding: 0 14px; margin: 4px 8px 4px 0; }}
.dcgan-lab .dcgan-start {{ min-width: 7em; }}
.dcgan-lab img {{ border-radius: 6px; }}
.dcgan-lab .noUi-connect {{ background: {D_COLOUR}; }}
.dcgan-lab .widget-html-content {{ line-height: 1.45; white-space: normal; }}
.dcgan-verdict-card {{ border-left: 5px solid; padding: 4px 12px; border-radius: 4px; margin: 4px 0; }}
.dcgan-verdict-card > span {{ color: var(--jp-ui-font-color1, inherit); }}
.dcgan-scale-bar {{ display: flex; align-items: center; gap: 8px; font-size: 12px; opacity: 0.9; margin: 2px 0 6px; }}
.dcgan-scale-bar > div {{ position: relative; flex: 1; height: 8px; border-radius: 4px;
  background: linear-gradient(to right, {G_COLOUR}, #bbbbbb, {D_COLOUR}); }}
.dcgan-scale-bar i {{ position: absolute; top: -4px; width: 5px; height: 16px; margin-left: -3px; border-radius: 3px;
  background: #222222; border: 1px solid #ffffff; }}
</style>"""
)
STILL_WIDTH, LIVE_WIDTH = 520, 265  # of the samples, about; the browser enlarges the live ones

PARTS = (
    "1 of 5 · A batch of real pictures goes through D. Its loss asks for high logits; the gradient is kept.",
    "2 of 5 · G paints a batch of fakes, and they go through D. Its gradient is added to the first one.",
    "3 of 5 · D's optimizer takes one step along both gradients. G has not changed.",
    "4 of 5 · G's turn: the same fakes go through the new D. The gradient runs back through D into G.",
    "5 of 5 · G's optimizer takes one step. D has not changed. Below: what the fixed z give now.",
)


def samples(images: Tensor, width: int = LIVE_WIDTH) -> Image.Image:
    """At most 64 images (N, C, H, W) as a grid of about so many pixels."""
    return grid(images[:64], scale=max(1, width // (8 * images.shape[-1])))


def captions(step: Step, real: Tensor, made: Tensor) -> list[tuple[Tensor, str]]:
    """Slow motion: the five parts of a step, each as images (N, C, H, W) and what happens to them.

    Args:
        real: the real images of the step.
        made: what the generator makes of the fixed z after it.
    """
    _, _, d_x, before, after = step.row().tolist()
    beliefs = (f"D(x) = {d_x:.2f}", *(f"D(G(z)) = {d_gz:.2f}" for d_gz in (before, before, after, after)))
    images = (real, step.fake, step.fake, step.fake, made)
    return [(i, f"<b>{part}</b> {belief}") for i, part, belief in zip(images, PARTS, beliefs, strict=True)]


def verdict_html(kind: str) -> str:
    """The verdict in colour, what to try, and the notebook that explains it."""
    verdict, colour = VERDICTS[kind], COLOURS.get(kind, RED)
    return (
        f"<div class='dcgan-verdict-card' style='color:{colour}'><b>{html.escape(verdict.sentence)}.</b> "
        f"<span>{html.escape(verdict.advice)} <a href='{verdict.notebook}.ipynb' target='_blank'>"
        f"Notebook {verdict.notebook[:2]}</a> explains it.</span></div>"
    )


def caption(trainer: Trainer, raw: bool = False) -> str:
    """Whose images are shown."""
    which = "" if not trainer.ema_generator else "raw " if raw else "averaged "
    return f"The same z at every step, by the {which}generator"


def alt(trainer: Trainer, kind: str = "") -> str:
    """The samples, the curves and, where its kind is given, the verdict in words, for readers who cannot see them."""
    history, steps = trainer.history, trainer.steps_done
    words = f"{len(trainer.fixed_z)} generated pictures after {steps} steps, and the curves of their run."
    if steps:
        d_loss, g_loss, d_x, d_gz, _ = history.rows[-WINDOW:].mean(0).tolist()
        words += f" In the last {min(WINDOW, steps)} steps: d_loss {d_loss:.2f}, g_loss {g_loss:.2f}, D(x) {d_x:.2f}, "
        words += f"D(G(z)) {d_gz:.2f}."
    return words + (f" Verdict: {VERDICTS[kind].sentence}." if kind else "")


def scale_html(history: History) -> str:
    """Who is ahead, as a mark between G, which fools D, and D, which recognises everything: D's share of right answers
    in the last 50 steps, as sure as it was of them."""
    rows = history.rows[-WINDOW:]
    right = ((rows[:, 2] + 1 - rows[:, 3]) / 2).nanmean().item() if len(rows) else 0.5
    mark = f"<div><i style='left:{100 * right:.0f}%'></i></div>"
    return (
        f"<div class='dcgan-scale-bar'><span>G fools D</span>{mark}<span>D is right, {100 * right:.0f} %</span></div>"
    )


def settings_html(config: Config) -> str:
    """lr, beta1, and what else of the controls is not at its default."""
    values = {name: getattr(config, name) for name in CONTROLS}
    shown = [name for name in CONTROLS if name in ("lr", "beta1") or values[name] != getattr(Config, name)]
    return " · ".join(setting(name, values[name]) for name in shown)


def status_html(config: Config, step: int, speed: float | None) -> str:
    """Whether the run is running, how far it is, how fast (steps a second), and the settings of the next step."""
    fast = "" if speed is None else f" · {speed:.1f} steps/s · {speed * config.batch_size:.0f} images/s"
    return f"<code>{'running' if fast else 'paused'} · step {step}{fast} · {settings_html(config)}</code>"


def past_run_html(session: Session) -> str:
    """The settings, length and verdict of a run that ends."""
    moved = f", moved at step {', '.join(str(step) for step, _ in session.marks)}" if session.marks else ""
    steps, sentence = session.trainer.steps_done, html.escape(VERDICTS[session.verdict()].sentence)
    return f"<b>{settings_html(session.trainer.config)}</b><br>{steps} steps{moved}<br>{sentence}"


def still(session: Session, curves: LiveCurves) -> Image.Image:
    """Samples, curves and verdict as one image, for where nobody can press a button."""
    trainer, kind = session.trainer, session.verdict()
    left = samples(trainer.sample(), STILL_WIDTH)
    below = side_by_side(left, curves.draw(trainer.history, session.marks), gap=10)
    above = Image.new("RGB", (below.width, 44), "white")
    pen, font = ImageDraw.Draw(above), ImageFont.load_default(14)
    pen.text((2, 2), f"step {trainer.steps_done} · {settings_html(trainer.config)}", "black", font)
    pen.text((2, 21), "{}. {}".format(*VERDICTS[kind]), COLOURS.get(kind, RED), font)
    return stacked(above, below)


class PastRuns(widgets.Box):
    """The last samples of each run above its words, the newest run first; the oldest makes room."""

    def __init__(self) -> None:
        super().__init__(layout={"flex_flow": "row wrap"})

    def add(self, session: Session) -> None:
        """Show the run of a session, too, before it is reset."""
        columns = list(self.children)
        if len(columns) < MOST_RUNS:
            column = widgets.VBox([widgets.Image(layout=COLUMN), widgets.HTML(layout=COLUMN)])
        else:
            column = columns.pop()  # a widget that is taken out stays in memory, so this one serves again
        picture, words = column.children
        picture.value = to_png(grid(session.trainer.sample()))
        words.value = past_run_html(session)
        self.children = [column, *columns]
