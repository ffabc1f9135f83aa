//! Readers of the stream of events that take nothing: they are dropped, and hold up nobody else.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use reqwest::StatusCode;

use crate::support::Service;

const EVENTS: &str = "/api/v1/events";
/// As many streams as one client may have, but for one.
const SLOW: usize = 3;
const SENDERS: u64 = 8;
const EACH: u64 = 25;
/// A machine under load takes long to fill the buffers between two sockets.
const PATIENCE: Duration = Duration::from_secs(300);

/// Asks for the stream, and reads nothing.
fn slow_reader(admin: &str) -> TcpStream {
    let mut stream = TcpStream::connect(admin).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
    let request = format!("GET {EVENTS} HTTP/1.1\r\nhost: {admin}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    // Its answer has begun.
    stream.read_exact(&mut [0; 12]).unwrap();
    stream
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_and_holds_up_no_delivery_and_no_other_reader() {
    let service = Service::start(&[]);
    let url = format!("http://{}{EVENTS}", service.admin);
    let slow: Vec<_> = (0..SLOW).map(|_| slow_reader(&service.admin)).collect();
    let mut fast = service.client.get(&url).send().await.unwrap();
    assert_eq!(fast.status(), StatusCode::OK);
    let refused = service.client.get(&url).send().await.unwrap();
    assert_eq!(
        refused.status(),
        StatusCode::TOO_MANY_REQUESTS,
        "all streams of one client are taken"
    );

    // The one that reads gets each delivery or hears how many it missed, up to the last one.
    let (last, mut seen) = tokio::sync::watch::channel(0);
    let reader = tokio::spawn(async move {
        let mut text = String::new();
        while let Ok(Some(piece)) = fast.chunk().await {
            text += &String::from_utf8_lossy(&piece);
            let numbers = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok());
            if let Some(number) = numbers.max() {
                last.send_replace(number);
            }
            // What is behind the last whole event is not read yet.
            let whole = text.rfind("\n\n").map_or(0, |end| end + 2);
            text.drain(..whole);
        }
    });
    let body = format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{}]}}"#, ["7"; 10].join(","));
    let began = Instant::now();
    let mut sent: u64 = 0;
    let again = loop {
        // Many, with long ids: buffers between two sockets take megabytes.
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..SENDERS {
            let to = format!("http://{}/v1/leads", service.deliveries);
            let id = "i".repeat(100);
            let request = service.client.post(to).body(body.clone()).bearer_auth("good-token");
            let request = request.header("x-request-id", &id).header("x-adobe-delivery-id", &id);
            let request = request.header("x-adobe-event-id", &id);
            senders.spawn(async move {
                for _ in 0..EACH {
                    let answer = request.try_clone().unwrap().send().await.unwrap();
                    assert_eq!(answer.status(), StatusCode::OK);
                }
            });
        }
        senders.join_all().await;
        sent += SENDERS * EACH;
        let answer = service.client.get(&url).send().await.unwrap();
        if answer.status() == StatusCode::OK {
            break answer;
        }
        assert!(began.elapsed() < PATIENCE, "no slow reader was dropped after {sent} deliveries");
    };
    seen.wait_for(|number| *number >= sent).await.expect("the fast reader goes on");
    drop(again);
    reader.abort();
    // Those that were dropped have no connection any more: what is left of it comes to an end.
    let ended = tokio::task::spawn_blocking(move || {
        slow.into_iter().any(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let began = Instant::now();
            let mut buffer = [0; 64 * 1024];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => return true,
                    Ok(_) if began.elapsed() < Duration::from_secs(30) => {}
                    Ok(_) => return false,
                    Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
                }
            }
        })
    });
    assert!(ended.await.unwrap(), "a slow reader's connection has ended");
}
