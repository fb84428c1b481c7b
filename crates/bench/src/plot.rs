//! Cost against size as a small picture: both axes in powers of two, one panel for each series.

use std::fmt::Write as _;

/// Points of one panel: size and cost.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
    /// What Apache Mesos takes, where that is known.
    pub(crate) mesos: Vec<(f64, f64)>,
}

impl Series {
    /// Only our line.
    pub(crate) fn ours(name: &'static str, points: Vec<(f64, f64)>) -> Self {
        Self { name, points, mesos: Vec::new() }
    }
}

const OURS: &str = "#06c";
const MESOS: &str = "#c60";

const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 170.0;
const MARGIN: f64 = 40.0;
/// The line above the panels that says whose colour is whose.
const LEGEND: f64 = 16.0;

/// An SVG with a panel for each series, two in a row.
pub(crate) fn svg(series: &[Series]) -> String {
    let rows = series.len().div_ceil(2);
    let height = crate::measure::float(rows) * HEIGHT + LEGEND;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" \
         font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        2.0 * WIDTH
    );
    let legend = format!(
        "<text x=\"{}\" y=\"12\" text-anchor=\"end\"><tspan fill=\"{OURS}\">mesos-rs</tspan> \
         <tspan fill=\"{MESOS}\">Apache Mesos</tspan></text>\n",
        2.0 * WIDTH - 10.0
    );
    if series.iter().any(|one| !one.mesos.is_empty()) {
        out.push_str(&legend);
    }
    out.push_str(&format!("<g transform=\"translate(0,{LEGEND})\">\n"));
    for (at, one) in series.iter().enumerate() {
        let (column, row) = (crate::measure::float(at % 2), crate::measure::float(at / 2));
        panel(&mut out, one, column * WIDTH, row * HEIGHT);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

fn panel(out: &mut String, series: &Series, left: f64, top: f64) {
    let bounds = |value: fn(&(f64, f64)) -> f64| {
        let values = series.points.iter().chain(&series.mesos).map(value).filter(|value| *value > 0.0);
        values.fold((f64::MAX, f64::MIN), |(least, most), v| (least.min(v.log2()), most.max(v.log2())))
    };
    let (x_least, x_most) = bounds(|(x, _)| *x);
    let (y_least, y_most) = bounds(|(_, y)| *y);
    // The height spans at least as many doublings as the width, so that a steep line is a costly one.
    let span = (x_most - x_least).max(y_most - y_least).max(1.0);
    let middle = f64::midpoint(y_least, y_most);
    let place = |x: f64, y: f64| {
        let right = (x.log2() - x_least) / (x_most - x_least).max(1e-9);
        let up = (y.max(1e-9).log2() - middle) / span + 0.5;
        (left + MARGIN + right * (WIDTH - 2.0 * MARGIN), top + HEIGHT - 30.0 - up * (HEIGHT - 60.0))
    };
    let mut line = |text: String| writeln!(out, "{text}").expect("writing to a String cannot fail");
    line(format!("<text x=\"{}\" y=\"{}\">{}</text>", left + MARGIN - 20.0, top + 14.0, series.name));
    line(format!(
        "<path d=\"M{} {}v{}h{}\" fill=\"none\" stroke=\"#999\"/>",
        left + MARGIN - 8.0,
        top + 22.0,
        HEIGHT - 50.0,
        WIDTH - 2.0 * MARGIN + 16.0
    ));
    for (points, colour) in [(&series.mesos, MESOS), (&series.points, OURS)] {
        let path: Vec<_> = points.iter().map(|(x, y)| place(*x, *y)).collect();
        let joined: Vec<_> = path.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        if !joined.is_empty() {
            line(format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", joined.join(" ")));
        }
        for ((x, y), (size, cost)) in path.iter().zip(points) {
            line(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>"));
            line(format!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{colour}\">{}</text>",
                y - 6.0,
                short(*cost)
            ));
            line(format!(
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">{size}</text>",
                top + HEIGHT - 14.0
            ));
        }
    }
}

/// A cost with as many digits as say something.
fn short(cost: f64) -> String {
    match cost {
        cost if cost >= 100.0 => format!("{cost:.0}"),
        cost if cost >= 10.0 => format!("{cost:.1}"),
        cost => format!("{cost:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_line_is_flat() {
        let series = Series::ours("flat", vec![(1.0, 3.0), (2.0, 3.0), (4.0, 3.0)]);
        let picture = svg(&[series]);
        assert!(picture.starts_with("<svg") && picture.contains("flat"));
        let heights: std::collections::BTreeSet<_> =
            picture.lines().filter_map(|line| line.split("cy=\"").nth(1)?.split('"').next()).collect();
        assert_eq!(heights.len(), 1);
    }

    #[test]
    fn who_costs_more_is_higher() {
        let points = vec![(1.0, 3.0), (2.0, 6.0)];
        let series = Series { mesos: vec![(1.0, 30.0), (2.0, 200.0)], ..Series::ours("two", points) };
        let picture = svg(&[series]);
        let height = |colour: &str| -> f64 {
            let dot = picture.lines().find(|line| line.contains("cy=") && line.contains(colour));
            dot.and_then(|dot| dot.split("cy=\"").nth(1)?.split('"').next()?.parse().ok()).expect("a dot")
        };
        assert!(height(MESOS) < height(OURS), "smaller is higher up");
        assert!(picture.contains(">200<") && picture.contains(">6.00<"));
    }
}
