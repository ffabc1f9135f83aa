//! `millrace tap`: shows deliveries to a running service as they come, a line each.

use clap::Args;

use super::{
    Context, Exit,
    admin::{
        Admin, Place,
        answers::{Delivery, DeliveryDetail},
        events::{Event, Parser},
    },
    colours::{Tone, painted},
    print, program,
    table::cut,
    text, when, width,
};

/// Show deliveries as they come: the answer, why it was refused, and where it is stored
///
/// Reads along at the admin listener of a running service until Ctrl-C. At most 200 a second are shown; how many were
/// left out is said.
///
/// Exit codes: 0 stopped by Ctrl-C; 1 the service cannot be reached, does not know the source or the outcome, or the stream has ended; 2 the command line is
/// wrong.
#[derive(Args)]
pub(super) struct Options {
    /// Deliveries of this source alone; `unknown` for those of no source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Deliveries of this outcome alone (stored, bad-credentials …); `refused` for all that were refused
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,

    /// Deliveries since this time as well, as far as they are remembered: RFC 3339, or how long ago (`5m`)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Show the beginning of each stored body too; needs admin.bodies = true
    #[arg(long)]
    bodies: bool,

    /// Print JSON, one delivery a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: Place,
}

pub(super) fn run(options: &Options, context: &mut Context<'_>) -> Exit {
    let admin = Admin::new(&options.place, context);
    let admin = admin.map_err(|problem| context.end("tap", problem, 2))?;
    let runtime = program::runtime().map_err(|problem| context.end("tap", problem, 1))?;
    let tapped = runtime.block_on(async {
        tokio::select! {
            ended = tap(options, &admin, context) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    match tapped {
        Ok(()) => Ok(0),
        Err(problem) => Err(context.end("tap", problem, 1)),
    }
}

async fn tap(options: &Options, admin: &Admin, context: &mut Context<'_>) -> Result<(), String> {
    let mut query = vec![("only", "delivery")];
    query.extend(options.source.as_deref().map(|source| ("source", source)));
    query.extend(options.outcome.as_deref().map(|outcome| ("outcome", outcome)));
    // The stream is opened before the remembered deliveries are read, so that none is missed in between.
    let mut stream = match admin.events(&query).await {
        Ok(stream) => stream,
        Err(refused) => {
            // The answer to this query names the words that the service knows.
            let mut asked = query.split_off(1);
            asked.push(("limit", "1"));
            admin.get::<Remembered>("/api/v1/deliveries", &asked).await?;
            return Err(refused);
        }
    };
    let mut last = 0;
    if let Some(since) = &options.since {
        let mut before = query.split_off(1);
        before.extend([("since", since.as_str()), ("limit", "1000")]);
        let answer: Remembered = admin.get("/api/v1/deliveries", &before).await?;
        for delivery in answer.deliveries.iter().rev() {
            last = last.max(delivery.number);
            show(options, admin, delivery, context).await;
        }
    }
    let mut parser = Parser::default();
    while let Some(piece) = stream.next().await.map_err(|error| error.to_string())? {
        let mut events = Vec::new();
        parser.push(&piece, &mut |event| events.push(event))?;
        for Event { name, data } in events {
            match name.as_str() {
                "missed" => {
                    let count = serde_json::from_str::<Missed>(&data).unwrap_or_default().count;
                    let what = text::counted(count, "delivery", "deliveries");
                    print(context.errors, format_args!("{what} came too quickly to be shown\n"));
                }
                "delivery" => {
                    let Ok(delivery) = serde_json::from_str::<Delivery>(&data) else { continue };
                    if delivery.number > last {
                        show(options, admin, &delivery, context).await;
                    }
                }
                _ => {}
            }
        }
    }
    Err(format!("{} has ended the stream", admin.place()))
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Remembered {
    deliveries: Vec<Delivery>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Missed {
    count: u64,
}

async fn show(options: &Options, admin: &Admin, delivery: &Delivery, context: &mut Context<'_>) {
    let body = match (options.bodies, &delivery.position) {
        (true, Some(position)) => {
            let path = format!("/api/v1/deliveries/{}/{position}", delivery.source);
            Some(admin.get::<DeliveryDetail>(&path, &[]).await)
        }
        _ => None,
    };
    if options.json {
        let mut value = serde_json::json!(delivery);
        if let Some(Ok(detail)) = &body {
            value["body"] = serde_json::json!(detail.body);
        }
        print(context.out, format_args!("{value}\n"));
        return;
    }
    print(
        context.out,
        format_args!("{}\n", line(delivery, width::of_output(), context.colours.out)),
    );
    match body {
        None => {}
        Some(Ok(DeliveryDetail { body: Some(body), .. })) => {
            let words = body.text.or(body.base64).unwrap_or_default();
            let end = if body.cut { " …" } else { "" };
            print(context.out, format_args!("{}{end}\n", text::printable_lines(words.trim_end())));
        }
        Some(Ok(DeliveryDetail { note: Some(note), .. })) => {
            print(context.out, format_args!("  (no body: {})\n", text::printable(&note)));
        }
        Some(Ok(_)) => {
            print(context.out, "  (the service shows no bodies: admin.bodies = true lets it)\n");
        }
        Some(Err(problem)) => print(context.out, format_args!("  (no body: {problem})\n")),
    }
}

/// Renders a line: `10:00:00  200  leads  stored  42  1.2 KiB  0.84 ms`; a refusal has its reason in place of the
/// position.
fn line(delivery: &Delivery, width: Option<usize>, colours: bool) -> String {
    let Delivery { at, source, outcome, status, bytes, .. } = delivery;
    let at = when::time_of_day(*at);
    let status = if *status == 0 { "-".to_owned() } else { status.to_string() };
    let mut rest = match &delivery.reason {
        Some(reason) => {
            let detail = delivery.detail.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
            let key = delivery.key.as_ref().map(|it| format!("  → {it}")).unwrap_or_default();
            let client =
                delivery.client.as_ref().map(|it| format!("  from {it}")).unwrap_or_default();
            format!("{reason}{detail}{key}{client}")
        }
        None => {
            let position = delivery.position.as_deref().unwrap_or("-");
            let took = delivery.milliseconds.map(|it| format!("  {it:.2} ms")).unwrap_or_default();
            format!("{position:<8}  {:>9}{took}", text::bytes(*bytes))
        }
    };
    if delivery.left_out > 0 {
        rest += &format!("  (and {} more of its kind)", text::count(delivery.left_out));
    }
    let line = format!("{at}  {status:>3}  {source:<12}  {outcome:<16}  {rest}");
    let line = text::printable(line.trim_end());
    let line = width.map_or_else(|| line.clone(), |width| cut(&line, width));
    let tone = match delivery.status {
        200..=299 => Tone::Plain,
        0 => Tone::Warn,
        _ => Tone::Bad,
    };
    painted(tone, &line, colours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_delivery_has_its_place_and_a_refused_one_its_reason() {
        let stored = Delivery {
            at: 1_772_445_600_000,
            source: "leads".into(),
            outcome: "stored".into(),
            status: 200,
            position: Some("42".into()),
            bytes: 1536,
            milliseconds: Some(0.84),
            ..Delivery::default()
        };
        let expected =
            "10:00:00  200  leads         stored            42          1.5 KiB  0.84 ms";
        assert_eq!(line(&stored, Some(80), false), expected);
        let refused = Delivery {
            status: 401,
            outcome: "bad-credentials".into(),
            reason: Some("token-unknown".into()),
            detail: Some("none of 2 tokens\u{1b}[2J".into()),
            key: Some("sources.leads.auth.tokens".into()),
            ..stored
        };
        let shown = line(&refused, None, false);
        assert!(shown.contains("token-unknown: none of 2 tokens"), "{shown}");
        assert!(
            shown.contains("→ sources.leads.auth.tokens") && !shown.contains('\u{1b}'),
            "{shown}"
        );
        assert!(line(&refused, Some(80), false).chars().count() <= 80);
    }
}
