//! Small plots of the last hour, as SVG within the page: sixty bars of a minute, drawn by one path.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Plots counts, the oldest first, in proportion to the largest. A screen reader says `label` with the sum and the
/// largest of the values.
pub fn bars(values: &[f64], tone: &str, label: &str) -> Markup {
    let largest = values.iter().copied().fold(0.0_f64, f64::max);
    let total: f64 = values.iter().sum();
    let spoken = format!("{label}: {total:.0} in the last hour, at most {largest:.0} a minute");
    drawn(values, largest, tone, &spoken)
}

/// Plots a level (a backlog), whose sum means nothing: a screen reader says `label` with the largest value.
pub fn level(values: &[f64], tone: &str, label: &str, text: impl Fn(u64) -> String) -> Markup {
    let largest = values.iter().copied().fold(0.0_f64, f64::max);
    let spoken = format!("{label}: at most {} in the last hour", text(largest as u64));
    drawn(values, largest, tone, &spoken)
}

fn drawn(values: &[f64], largest: f64, tone: &str, spoken: &str) -> Markup {
    html! {
        svg class=(format!("plot {tone}")) viewBox="0 0 180 28" preserveAspectRatio="none" role="img" aria-label=(spoken) {
            path class="floor" d="M0 27.5h180" {}
            @if largest > 0.0 { path class="bars" d=(path(values, largest)) {} }
        }
    }
}

/// Returns the path of the bars: each two units wide, with a gap of one, and at least 1.5 high, so that a lone request
/// is seen.
fn path(values: &[f64], largest: f64) -> String {
    let mut path = String::new();
    for (at, value) in values.iter().enumerate().filter(|(_, value)| **value > 0.0) {
        let height = (value / largest * 26.0).max(1.5);
        let _ = write!(path, "M{} 28v-{height:.1}h2v{height:.1}z", at * 3);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_bar_for_each_minute_with_something_in_it_and_says_what_it_shows() {
        let plot = bars(&[0.0, 1.0, 100.0], "ok", "Stored").into_string();
        assert!(plot.contains(r#"d="M3 28v-1.5h2v1.5zM6 28v-26.0h2v26.0z""#), "{plot}");
        assert!(plot.contains("Stored: 101 in the last hour, at most 100 a minute"), "{plot}");
        assert!(!bars(&[0.0; 60], "ok", "Stored").into_string().contains("bars"));
    }
}
