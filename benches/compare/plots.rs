//! Plots as SVG, whose text is text: nothing is needed but whoever shows them.

use crate::Failure;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;
use std::path::Path;

const SIZE: (u32, u32) = (960, 420);
const FONT: &str = "sans-serif";

/// Told apart in print and by most who see colours otherwise (Okabe and Ito); the first is black.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(0, 114, 178),
    RGBColor(150, 150, 150),
    RGBColor(120, 80, 40),
    RGBColor(240, 228, 66),
];

/// A name and its values; what is missing is not drawn.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) values: Vec<Option<f64>>,
}

/// Groups of bars over a scale of powers of ten: a row's value in each group.
pub(crate) fn bars(path: &Path, title: &str, unit: &str, groups: &[String], rows: &[Row]) -> Result<(), Failure> {
    let mut svg = String::new();
    {
        let root = canvas(&mut svg)?;
        let low = range(rows).start;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, (FONT, 18))
            .margin(12)
            .x_label_area_size(28)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..groups.len() as f64 + 0.9, range(rows).log_scale())?;
        chart.configure_mesh().disable_x_mesh().x_labels(0).y_desc(unit).y_label_formatter(&number).draw()?;
        let width = 0.8 / rows.len().max(1) as f64;
        for (number, row) in rows.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let bar = |(group, value): (usize, &Option<f64>)| {
                let left = group as f64 + 0.1 + number as f64 * width;
                value.map(|value| Rectangle::new([(left, low), (left + 0.9 * width, value.max(low))], colour.filled()))
            };
            let drawn = chart.draw_series(row.values.iter().enumerate().filter_map(bar))?;
            drawn.label(&row.name).legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        }
        chart.configure_series_labels().label_font((FONT, 13)).position(SeriesLabelPosition::UpperRight).draw()?;
        for (number, group) in groups.iter().enumerate() {
            let (x, y) = chart.plotting_area().map_coordinate(&(number as f64 + 0.5, low));
            let style = (FONT, 14).into_text_style(&root).pos(Pos::new(HPos::Center, VPos::Top));
            root.draw(&Text::new(group.clone(), (x, y + 8), style))?;
        }
        root.present()?;
    }
    Ok(std::fs::write(path, svg)?)
}

/// Lines over two scales of powers of ten: a row's value at each of `places`. What grows with its source runs parallel
/// to the dashes.
pub(crate) fn lines(path: &Path, title: &str, axes: [&str; 2], places: &[f64], rows: &[Row]) -> Result<(), Failure> {
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return Ok(()) };
    let mut svg = String::new();
    {
        let root = canvas(&mut svg)?;
        let values = range(rows);
        let x = (*first..last * 3.0).log_scale().with_key_points(places.to_vec());
        let y = values.clone().log_scale();
        let mut chart = ChartBuilder::on(&root)
            .caption(title, (FONT, 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(axes[0]).y_desc(axes[1]).x_label_formatter(&number).y_label_formatter(&number).draw()?;
        for (number, row) in rows.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points = places.iter().zip(&row.values).filter_map(|(place, value)| Some((*place, (*value)?)));
            let drawn = chart.draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?;
            drawn
                .label(&row.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
        }
        let proportional = places.iter().map(|place| (*place, values.start * 2.0 * place / first));
        let proportional: Vec<(f64, f64)> = proportional.filter(|(_, value)| *value < values.end).collect();
        chart.draw_series(DashedLineSeries::new(proportional, 4, 4, RGBColor(150, 150, 150).stroke_width(1)))?;
        chart.configure_series_labels().label_font((FONT, 13)).position(SeriesLabelPosition::UpperRight).draw()?;
        root.present()?;
    }
    Ok(std::fs::write(path, svg)?)
}

fn canvas(svg: &mut String) -> Result<DrawingArea<SVGBackend<'_>, Shift>, Failure> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    Ok(root)
}

/// Powers of ten around all values.
fn range(rows: &[Row]) -> Range<f64> {
    let values = || rows.iter().flat_map(|row| &row.values).flatten().copied().filter(|value| *value > 0.0);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let power = |value: f64, round: fn(f64) -> f64| 10f64.powf(round(value.log10()));
    if high > 0.0 { power(low, f64::floor)..power(high * 1.001, f64::ceil) } else { 0.1..10.0 }
}

fn number(value: &f64) -> String {
    match *value {
        value if value >= 1e9 => format!("{} G", value / 1e9),
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e3 => format!("{} k", value / 1e3),
        value => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |name: &str, values: [Option<f64>; 2]| Row { name: name.to_owned(), values: values.to_vec() };
        vec![row("vellum", [Some(0.2), Some(30.0)]), row("other", [None, Some(4.0)])]
    }

    #[test]
    fn scales_hold_every_value() {
        let held = range(&rows());
        assert!(held.start <= 0.2 && held.end >= 30.0 && held.start > 0.01 && held.end < 1000.0, "{held:?}");
        assert_eq!(range(&[]), 0.1..10.0);
    }

    #[test]
    fn names_and_groups_are_text_in_the_plot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        bars(&path, "a title", "seconds", &["first".to_owned(), "next".to_owned()], &rows()).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(["a title", "seconds", "first", "next", "vellum", "other"].iter().all(|text| svg.contains(text)));
        lines(&path, "growth", ["files", "seconds"], &[1000.0, 2000.0], &rows()).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(["growth", "files", "vellum", "1 k"].iter().all(|text| svg.contains(text)), "{svg}");
    }
}
