//! `millrace simulate`: plays Marketo and Adobe I/O against any endpoint, to load it and to judge its answers.
//!
//! Exit codes: 0 when everything was delivered and neither sender would have lost, paused or disabled
//! anything; 1 otherwise; 2 when it could not begin.

mod cast;
mod options;
mod report;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

pub(super) use self::options::{Options, TokenScheme};
use self::{
    cast::Cast,
    report::{Report, Run},
};
use super::{Context, Exit, print, program, progress::Bar, text};
use crate::sender::Act;

/// Time between two looks at the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

pub(super) fn run(options: &Options, context: &mut Context<'_>) -> Exit {
    let token = options.token(&context.environment);
    let token = token.map_err(|trouble| context.end("simulate", trouble, 2))?;
    let runtime = program::runtime().map_err(|problem| context.end("simulate", problem, 2))?;
    match runtime.block_on(simulate(options, token.as_deref(), context.errors)) {
        Ok(report) => {
            let out = &mut *context.out;
            if options.json {
                print(out, format_args!("{}\n", report.json()));
            } else {
                print(out, report.text());
            }
            Ok(u8::from(!report.is_good()))
        }
        Err(trouble) => Err(context.end("simulate", trouble, 2)),
    }
}

async fn simulate(
    options: &Options,
    token: Option<&str>,
    errors: &mut dyn Write,
) -> Result<Report, String> {
    let mut cast = Cast::gather(options, token).await?;
    for line in cast.introduction() {
        print(errors, format_args!("{line}\n"));
    }
    cast.challenge(options).await;
    let (act, acts) = watch::channel(Act::Sending);
    let mut lanes = cast.play(options, &acts)?;
    drop(acts);

    let began = Instant::now();
    let mut bar = Bar::new();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut playing = Act::Sending;
    let mut sending = None;
    while !lanes.is_empty() && playing != Act::Ending {
        let elapsed = began.elapsed();
        let next = match playing {
            Act::Sending if elapsed >= options.duration => Act::Settling,
            Act::Settling if elapsed >= options.duration + options.settle => Act::Ending,
            same => same,
        };
        if next != playing {
            sending = sending.or_else(|| Some((elapsed, cast.sent())));
            playing = next;
            act.send_replace(next);
        }
        show(&mut bar, &cast, elapsed, options, playing);
        tokio::select! {
            Some(ended) = lanes.join_next() => ended.map_err(|error| format!("a lane failed: {error}"))?,
            () = tokio::time::sleep(PROGRESS_INTERVAL) => {}
            _ = &mut interrupted => {
                playing = Act::Ending;
                act.send_replace(Act::Ending);
            }
        }
    }
    finish(&mut lanes).await?;
    bar.clear();
    let (sending_for, sent) = sending.unwrap_or_else(|| (began.elapsed(), cast.sent()));
    let run = Run { elapsed: began.elapsed(), sending_for, sent, cpu: cpu_time() };
    Ok(Report::new(options, run, cast))
}

/// Waits for the requests under way, which have time-outs.
async fn finish(lanes: &mut JoinSet<()>) -> Result<(), String> {
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(|error| format!("a lane failed: {error}"))?;
    }
    Ok(())
}

fn show(bar: &mut Bar, cast: &Cast, elapsed: Duration, options: &Options, act: Act) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    bar.show(millis(elapsed), millis(options.duration), || {
        let all = cast.all();
        let p99 = all.answers.quantile(0.99).map_or_else(|| "-".into(), text::time);
        let waiting = all.undecided().deliveries;
        let what = if act == Act::Settling { "settling: " } else { "" };
        format!(
            "{what}{} sent, {} delivered, {} lost, {} in flight  p99 {p99}",
            text::count(all.sent.deliveries),
            text::count(all.delivered.deliveries),
            text::count(all.lost.deliveries),
            text::count(waiting),
        )
    });
}

/// Returns the processor time that this process has used so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
