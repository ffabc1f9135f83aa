//! The filter of a replay, by stream and type.

use clap::Args;

use crate::event::Event;

/// Options by which events are chosen. All that are given must fit; without any, every event does.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Filter {
    /// Events of this stream alone (lead-activity, user-audit …); may be given several times
    #[arg(long = "stream", value_name = "STREAM")]
    streams: Vec<String>,

    /// Events of this type alone, as topics are named (clicklink, custom-100001 …); may be given
    /// several times
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.types.is_empty()
    }

    pub fn takes(&self, event: &Event<'_>) -> bool {
        let any = |wanted: &[String], is: &str| wanted.is_empty() || wanted.iter().any(|w| w == is);
        any(&self.streams, event.stream.as_str()) && any(&self.types, &event.event_type)
    }
}
