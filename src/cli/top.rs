//! `millrace top`: shows the current state of a running service, source by source and topic by topic.
//!
//! On a terminal the screen is redrawn in place and keys sort, filter and open pages; elsewhere lines are printed. All
//! data come from the admin API.

mod keys;
mod view;

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use clap::Args;

use self::{
    keys::{Page, State},
    view::View,
};
use super::{
    Context, Exit,
    admin::{
        Admin, Place,
        answers::{DeadLetters, Status},
    },
    colours, print, program,
    terminal::{Key, Terminal},
    width,
};

/// Show what a running service does: sources, topics, refusals
///
/// Keys: s sorts, / filters, d opens dead letters, r opens refusals, arrows scroll, q ends. Without a terminal, lines
/// are printed at each interval.
///
/// Columns: FULL IN is when the spool takes no more deliveries at the present rate. REF/m is how many requests were
/// refused in the last minute. LEFT is how many more tries may fail, with none accepted in between, until the sender
/// gives up: Adobe I/O disables the registration, Marketo pauses the subscription. At 0 it has done so by now, or does
/// at the next failure.
///
/// Exit codes: 0 ended by q or Ctrl-C, or printed once; 1 the service cannot be reached; 2 the command line is wrong.
#[derive(Args)]
pub(super) struct Options {
    /// Time between two requests to the service
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,

    /// Print it once, and end
    #[arg(long)]
    once: bool,

    /// With --once: as JSON, as the service answers it
    #[arg(long, requires = "once")]
    json: bool,

    #[command(flatten)]
    place: Place,
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&time) => {
            Ok(time)
        }
        Ok(_) => Err("must be from 100ms to 1h".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// How often keys and the terminal's size are checked.
const KEY_INTERVAL: Duration = Duration::from_millis(50);

pub(super) fn run(options: &Options, context: &mut Context<'_>) -> Exit {
    let admin = Admin::new(&options.place, context);
    let admin = admin.map_err(|problem| context.end("top", problem, 2))?;
    let runtime = program::runtime().map_err(|problem| context.end("top", problem, 1))?;
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let ended = if options.once {
        runtime.block_on(once(options, &admin, context))
    } else if is_terminal && colours::can_redraw() {
        runtime.block_on(live(options, &admin, context.colours.out))
    } else {
        runtime.block_on(lines(options, &admin, context))
    };
    match ended {
        Ok(()) => Ok(0),
        Err(problem) => Err(context.end("top", problem, 1)),
    }
}

async fn once(options: &Options, admin: &Admin, context: &mut Context<'_>) -> Result<(), String> {
    if options.json {
        let answer: serde_json::Value = admin.get("/api/v1/status", &[]).await?;
        print(context.out, format_args!("{answer}\n"));
        return Ok(());
    }
    let status: Status = admin.get("/api/v1/status", &[]).await?;
    let width = width::of_output().unwrap_or(120);
    let view = View { status: &status, state: &State::default(), letters: None, problem: None };
    for line in view.whole(width) {
        print(context.out, format_args!("{}\n", line.painted(context.colours.out)));
    }
    Ok(())
}

/// Prints one line for each source, at every interval.
async fn lines(options: &Options, admin: &Admin, context: &mut Context<'_>) -> Result<(), String> {
    loop {
        let status: Status = admin.get("/api/v1/status", &[]).await?;
        for line in view::plain(&status) {
            print(context.out, format_args!("{line}\n"));
        }
        tokio::select! {
            () = tokio::time::sleep(options.interval) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

async fn live(options: &Options, admin: &Admin, colours: bool) -> Result<(), String> {
    let mut status: Status = admin.get("/api/v1/status", &[]).await?;
    let mut terminal = Terminal::open(colours).map_err(|error| format!("the terminal: {error}"))?;
    let mut interrupts = super::demo::Interrupts::listen().map_err(|error| error.to_string())?;
    let mut state = State::default();
    let mut letters = None;
    let mut problem = None;
    let mut looked = Instant::now();
    let mut changed = true;
    loop {
        if changed {
            let view = View {
                status: &status,
                state: &state,
                letters: letters.as_ref(),
                problem: problem.as_deref(),
            };
            terminal.draw(|columns, rows| view.screen(columns, rows));
            changed = false;
        }
        tokio::select! {
            () = tokio::time::sleep(KEY_INTERVAL) => {}
            () = interrupts.next() => return Ok(()),
        }
        let page = state.page;
        for key in terminal.keys() {
            changed = true;
            if key == Key::Resize {
                terminal.forget();
            }
            if !state.press(key) {
                return Ok(());
            }
        }
        let opened = state.page != page;
        if looked.elapsed() < options.interval && !opened {
            continue;
        }
        looked = Instant::now();
        changed = true;
        let asked = ask(admin, state.page).await;
        problem = asked.as_ref().err().cloned();
        if let Ok((now, found)) = asked {
            status = now;
            letters = found.or(letters);
        }
    }
}

async fn ask(admin: &Admin, page: Page) -> Result<(Status, Option<DeadLetters>), String> {
    let status = admin.get("/api/v1/status", &[]).await?;
    let letters = match page {
        Page::DeadLetters => Some(admin.get("/api/v1/dead-letters", &[("limit", "200")]).await?),
        Page::Overview | Page::Refusals => None,
    };
    Ok((status, letters))
}
