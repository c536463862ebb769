//! Plots as inline SVG and the self-contained page around them: no script, nothing fetched.

use std::fmt::Write;

/// A line of a plot; x and y in the plot's units.
pub struct Line<'a> {
    pub name: &'a str,
    pub points: Vec<(f64, f64)>,
}

/// How an axis runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    /// Decades; values below 0.001 are drawn there.
    Log,
    /// Percentiles: each step to the right is ten times closer to 100.
    Nines,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(1e-3).log10(),
            Self::Nines => -(1.0 - value.min(99.9999) / 100.0).log10(),
        }
    }

    /// Values to mark between these, as (value, label).
    fn ticks(self, min: f64, max: f64) -> Vec<(f64, String)> {
        const TICKS: f64 = 5.0;
        match self {
            Self::Linear => {
                let step = nice((max - min) / TICKS);
                let first = (min / step).ceil();
                let count = ((max / step).floor() - first).clamp(0.0, 20.0) as u32;
                (0..=count)
                    .map(|index| (first + f64::from(index)) * step)
                    .map(|at| (at, short(at)))
                    .collect()
            }
            Self::Log => (min.max(1e-3).log10().floor() as i32
                ..=max.max(1e-3).log10().ceil() as i32)
                .map(|power| 10f64.powi(power))
                .map(|at| (at, short(at)))
                .collect(),
            Self::Nines => [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999]
                .into_iter()
                .filter(|&at| at <= max)
                .map(|at| (at, format!("{at}")))
                .collect(),
        }
    }
}

/// One plot.
pub struct Plot<'a> {
    pub title: &'a str,
    pub x: (&'a str, Scale),
    pub y: (&'a str, Scale),
    pub lines: Vec<Line<'a>>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 100.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;
/// Distinct for colour-blind readers (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/// One axis of a plot on the page.
struct Axis {
    scale: Scale,
    min: f64,
    max: f64,
    /// Where `min` and `max` are drawn.
    from: f64,
    to: f64,
}

impl Axis {
    /// Fits the values: linear axes begin at 0, logarithmic ones at a full decade.
    fn fit(scale: Scale, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut min, mut max) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
                (min.min(value), max.max(value))
            });
        if !min.is_finite() {
            (min, max) = (0.0, 1.0);
        }
        match scale {
            Scale::Linear => min = min.min(0.0),
            Scale::Nines => min = 0.0,
            Scale::Log => {
                let ticks = scale.ticks(min, max);
                if let (Some(first), Some(last)) = (ticks.first(), ticks.last()) {
                    (min, max) = (first.0, last.0);
                }
            }
        }
        if max <= min {
            max = min + 1.0;
        }
        Self { scale, min, max, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let (low, high) = (self.scale.place(self.min), self.scale.place(self.max));
        let share = (self.scale.place(value) - low) / (high - low).max(1e-12);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        self.scale
            .ticks(self.min, self.max)
            .into_iter()
            .map(|(value, label)| (self.at(value), label))
            .collect()
    }
}

impl Plot<'_> {
    /// The plot as an `<svg>` element.
    pub fn svg(&self) -> String {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let x_axis = Axis::fit(self.x.1, all().map(|point| point.0), LEFT, right);
        let y_axis = Axis::fit(self.y.1, all().map(|point| point.1), bottom, TOP);
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{0}</title>\
             <text x=\"{LEFT}\" y=\"18\" class=\"title\">{0}</text>",
            escape(self.title)
        );
        for (y, label) in y_axis.ticks() {
            push(
                &mut out,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                     <text class=\"y\" x=\"{}\" y=\"{:.1}\">{label}</text>",
                    LEFT - 6.0,
                    y + 4.0
                ),
            );
        }
        for (x, label) in x_axis.ticks() {
            let y = bottom + 16.0;
            push(&mut out, format_args!("<text class=\"x\" x=\"{x:.1}\" y=\"{y}\">{label}</text>"));
        }
        let (middle, foot) = (f64::midpoint(LEFT, right), HEIGHT - 8.0);
        push(
            &mut out,
            format_args!(
                "<text class=\"x\" x=\"{middle}\" y=\"{foot}\">{}</text>\
                 <text class=\"y\" x=\"{}\" y=\"18\">{}</text>",
                escape(self.x.0),
                LEFT - 6.0,
                escape(self.y.0)
            ),
        );
        for (index, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let spell = |&(x, y): &(f64, f64)| format!("{:.1},{:.1}", x_axis.at(x), y_axis.at(y));
            let points: Vec<String> = line.points.iter().map(spell).collect();
            let y = TOP + 16.0 * index as f64 + 6.0;
            push(
                &mut out,
                format_args!(
                    "<polyline stroke=\"{colour}\" points=\"{}\"/>\
                     <text x=\"{}\" y=\"{y}\" fill=\"{colour}\">{}</text>",
                    points.join(" "),
                    right + 8.0,
                    escape(line.name)
                ),
            );
        }
        out.push_str("</svg>");
        out
    }
}

fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String grows");
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|&nice| nice >= step * 0.999)
        .unwrap_or(step)
}

/// A number for an axis.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e9 => format!("{}G", trimmed(value / 1e9)),
        size if size >= 1e6 => format!("{}M", trimmed(value / 1e6)),
        size if size >= 1e3 => format!("{}k", trimmed(value / 1e3)),
        _ => trimmed(value),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text for HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A whole page. `body` is HTML.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{0}</title><style>\
         :root{{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--dim:#68707a;--grid:#d8dde3}}\
         @media(prefers-color-scheme:dark){{:root{{--fg:#e6e8eb;--bg:#15181c;--dim:#98a0aa;--grid:#343a42}}}}\
         body{{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:900px;margin:2em auto;padding:0 1em}}\
         table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}td,th{{padding:.2em .9em;text-align:right;border-bottom:1px solid var(--grid)}}\
         td:first-child,th:first-child{{text-align:left;padding-left:0}}svg{{width:100%;height:auto;margin:1em 0}}\
         svg text{{font:12px system-ui,sans-serif}}svg text:not([fill]){{fill:var(--dim)}}svg text.title{{font-weight:600;fill:var(--fg)}}\
         .y{{text-anchor:end}}.x{{text-anchor:middle}}.grid{{stroke:var(--grid)}}polyline{{fill:none;stroke-width:1.8}}\
         .dim{{color:var(--dim)}}pre{{white-space:pre-wrap}}.bad{{color:#c0392b;font-weight:600}}\
         </style><h1>{0}</h1>{body}</html>\n",
        escape(title)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_draws_every_point_inside_its_frame() {
        for scale in [Scale::Linear, Scale::Log] {
            let points = vec![(0.0, 5.0), (1.0, 50_000.0), (2.0, 0.0)];
            let plot = Plot {
                title: "a<b",
                x: ("s", Scale::Linear),
                y: ("us", scale),
                lines: vec![Line { name: "p50", points }],
            };
            let svg = plot.svg();
            assert!(
                svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"),
                "{svg}"
            );
            let list = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
            let points: Vec<(f64, f64)> = list
                .split(' ')
                .map(|point| point.split_once(',').unwrap())
                .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
                .collect();
            assert_eq!(points.len(), 3);
            assert!(
                points.iter().all(|(x, y)| (LEFT..=WIDTH - RIGHT).contains(x)
                    && (TOP..=HEIGHT - BOTTOM).contains(y))
            );
        }
    }

    #[test]
    fn empty_and_flat_plots_are_drawn() {
        for points in [vec![], vec![(1.0, 1.0)], vec![(0.0, 0.0), (0.0, 0.0)]] {
            let lines = vec![Line { name: "n", points }];
            let svg = Plot { title: "t", x: ("", Scale::Nines), y: ("", Scale::Log), lines }.svg();
            assert!(svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn ticks_are_round() {
        let labels: Vec<String> =
            Scale::Linear.ticks(0.0, 1_234_567.0).into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["0", "500k", "1M"]);
    }
}
