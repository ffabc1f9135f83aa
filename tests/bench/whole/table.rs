//! Rows, each with its limit, measured in turns with it, and the table of them.

use serde_json::{Value, json};

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// For information.
    None,
}

/// A figure and its limit, round by round.
pub struct Row {
    pub what: String,
    pub unit: &'static str,
    pub limit: String,
    pub target: Target,
    pub measured: Vec<f64>,
    pub limits: Vec<f64>,
    pub note: String,
}

impl Row {
    pub fn new(what: &str, unit: &'static str, limit: &str, target: Target) -> Self {
        let (what, limit) = (what.to_owned(), limit.to_owned());
        Self { what, unit, limit, target, measured: vec![], limits: vec![], note: String::new() }
    }

    pub fn add(&mut self, measured: f64, limit: f64) {
        self.measured.push(measured);
        self.limits.push(limit);
    }

    /// Each round's figure against the limit of the same round.
    pub fn ratios(&self) -> Vec<f64> {
        self.measured.iter().zip(&self.limits).map(|(it, limit)| it / limit).collect()
    }

    /// `None` when there is nothing to meet; `Some(false)` also for what could not be measured.
    pub fn is_met(&self) -> Option<bool> {
        let ratio = median(&self.ratios());
        match self.target {
            Target::AtLeast(least) => Some(ratio >= least),
            Target::AtMost(most) => Some(ratio <= most),
            Target::None => None,
        }
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what,
            "unit": self.unit,
            "limit": self.limit,
            "target": self.target.to_string(),
            "met": self.is_met(),
            "median": number(median(&self.measured)),
            "median_limit": number(median(&self.limits)),
            "ratio": number(median(&self.ratios())),
            "measured": self.measured,
            "limits": self.limits,
            "ratios": self.ratios(),
            "limit_spread": number(spread(&self.limits)),
            "note": self.note,
        })
    }

    fn line(&self) -> String {
        if self.measured.is_empty() {
            let target = self.target.to_string();
            return format!("{:<44} {:>9} {target:>45} MISSED", self.what, "-");
        }
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let ratios = self.ratios();
        let (least, most) = range(&ratios);
        format!(
            "{:<44} {:>9} {:>9} {:<6} {:>6} ({:.2}-{:.2}) {:>7} {:<6} ±{:.0}%",
            self.what,
            figure(median(&self.measured)),
            figure(median(&self.limits)),
            self.unit,
            format!("{:.2}", median(&ratios)),
            least,
            most,
            self.target.to_string(),
            met,
            spread(&self.limits) * 50.0,
        )
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::None => Ok(()),
        }
    }
}

fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { Value::Null }
}

fn figure(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

fn range(values: &[f64]) -> (f64, f64) {
    let fold = |f: fn(f64, f64) -> f64| values.iter().copied().fold(f64::NAN, f);
    (fold(f64::min), fold(f64::max))
}

/// How far apart the highest and the lowest are, against the median: the machine's noise.
fn spread(values: &[f64]) -> f64 {
    let (least, most) = range(values);
    (most - least) / median(values)
}

pub fn print(rows: &[Row]) {
    println!(
        "{:<44} {:>9} {:>9} {:<6} {:>6} {:<11} {:>7} {:<6} noise of the limit",
        "what", "measured", "limit", "", "ratio", "(range)", "target", ""
    );
    for row in rows {
        println!("{}", row.line());
        println!("    limit: {}", row.limit);
        if !row.note.is_empty() {
            println!("    {}", row.note);
        }
    }
}

pub fn json(machine: &Value, settings: &Value, rows: &[Row]) -> Value {
    let rows: Vec<_> = rows.iter().map(Row::json).collect();
    json!({ "machine": machine, "settings": settings, "rows": rows })
}
