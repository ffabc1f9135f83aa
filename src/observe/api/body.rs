//! The body of an answer: all at once, or a stream of server-sent events.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::ingest::listen::Answer;

pub enum ApiBody {
    Whole(Answer),
    /// Ends when its sender does.
    Events(mpsc::Receiver<Bytes>),
}

impl From<Answer> for ApiBody {
    fn from(answer: Answer) -> Self {
        Self::Whole(answer)
    }
}

impl Body for ApiBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(answer) => Pin::new(answer).poll_frame(context),
            Self::Events(events) => {
                let next = ready!(events.poll_recv(context));
                Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(answer) if answer.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(answer) => answer.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
