//! TLS: who gets in, who does not, and how the certificate changes meanwhile.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use millrace::{config, ingest::listen::tls::Tls, runtime::shutdown::Phase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    authority::{Authority, Mount, Pair, VERSIONS},
    support::{Front, Raw, TOKEN, eventually, post, within},
};

const SHORT: Duration = Duration::from_millis(200);

struct Rig {
    authority: Authority,
    mount: Mount,
    front: Front,
}

impl Rig {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut config::Listen)) -> Self {
        let authority = Authority::new();
        let mount = Mount::with(&authority.server());
        let tls = mount.tls(None);
        let front = Front::with(|config| {
            config.tls = Some(tls);
            change(config);
        });
        let front = front.await;
        Self { authority, mount, front }
    }

    async fn deliver(&self) -> Result<u16, String> {
        self.authority.trusting(None).deliver(&self.front, TOKEN).await
    }

    /// The certificate that the next connection meets.
    async fn served(&self) -> Vec<u8> {
        let stream = self.authority.trusting(None).connect(&self.front).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    fn reloads(&self, outcome: &str) -> u64 {
        self.front.metrics.reloads.with_label_values(&["listen.tls", outcome]).get()
    }

    fn is_fine(&self) -> bool {
        self.front.metrics.last_reload_successful.with_label_values(&["listen.tls"]).get() == 1
    }
}

#[tokio::test]
async fn http_1_and_2_are_spoken_over_tls_1_2_and_1_3() {
    let rig = Rig::start().await;
    let mut client = rig.authority.trusting(None);
    for versions in VERSIONS {
        for alpn in ["http/1.1", "h2"] {
            (client.versions, client.alpn) = (versions, alpn);
            let stream = client.connect(&rig.front).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.alpn_protocol(), Some(alpn.as_bytes()));
            assert_eq!(session.protocol_version(), Some(versions[0].version));
            assert_eq!(client.deliver(&rig.front, TOKEN).await, Ok(200), "{versions:?} {alpn}");
            assert_eq!(client.deliver(&rig.front, "wrong").await, Ok(401), "{versions:?} {alpn}");
        }
    }
    assert_eq!(rig.front.store.bodies(), vec![b"{}"; 4]);
}

#[tokio::test]
async fn plain_http_is_told_so_and_taken_for_no_delivery() {
    let rig = Rig::start().await;
    let reply = rig.front.deliver("{}").await;
    assert_eq!((reply.status, reply.text()), (503, "this address takes HTTPS alone"));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(rig.front.refused("plain-http"), 1);
    assert!(rig.front.store.stored().is_empty());
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_is_closed() {
    let rig = Rig::start().await;
    let mut other = rig.front.connect().await;
    other.send([0_u8; 64]).await;
    other.rest().await;
    eventually(|| rig.front.refused("tls-handshake") == 1).await;
    assert_eq!(rig.deliver().await, Ok(200));
}

#[tokio::test]
async fn a_slow_handshake_is_ended_as_a_slow_head_is_and_disturbs_nobody_meanwhile() {
    let rig = Rig::with(|config| config.header_timeout = SHORT).await;
    let (mut silent, mut dripping) = (rig.front.connect().await, rig.front.connect().await);
    dripping.send([0x16, 3, 1, 2, 0, 1, 0]).await;
    assert_eq!(rig.deliver().await, Ok(200));
    assert!(silent.is_closed().await);
    dripping.rest().await;
    eventually(|| rig.front.refused("head-timeout") == 2).await;
    assert_eq!(rig.deliver().await, Ok(200));
}

#[tokio::test]
async fn a_head_has_what_the_handshake_left_of_its_time() {
    let rig = Rig::with(|config| config.header_timeout = SHORT).await;
    let mut idle = rig.authority.trusting(None).connect(&rig.front).await.unwrap();
    let mut nothing = Vec::new();
    let _ = within(idle.read_to_end(&mut nothing)).await;
    assert!(nothing.is_empty());
    assert_eq!(rig.front.refused("head-timeout"), 1);
}

#[tokio::test]
async fn handshakes_that_hang_give_way_to_senders() {
    let rig = Rig::with(|config| config.connections = 2).await;
    let mut hanging = [rig.front.connect().await, rig.front.connect().await];
    for stranger in &mut hanging {
        stranger.send([0x16, 3, 1]).await;
    }
    assert_eq!(rig.deliver().await, Ok(200));
    assert!(rig.front.refused("too-many-connections") >= 1);
}

#[tokio::test]
async fn a_slow_head_over_tls_is_answered_503() {
    let rig = Rig::with(|config| config.header_timeout = SHORT).await;
    let mut slow = rig.authority.trusting(None).connect(&rig.front).await.unwrap();
    slow.write_all(b"POST /v1/leads HTTP/1.1\r\nhost: he").await.unwrap();
    let mut answer = Vec::new();
    let end = within(slow.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
    assert!(end.is_ok(), "the answer is whole: {end:?}");
}

#[tokio::test]
async fn a_broken_head_over_tls_gets_our_answer_and_not_the_librarys() {
    let rig = Rig::start().await;
    let mut broken = rig.authority.trusting(None).connect(&rig.front).await.unwrap();
    broken.write_all(b"POST /v1/leads HTTP/1.1\r\nno colon here\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    within(broken.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_handshake_does_not_hold_up_the_stop() {
    let rig = Rig::start().await;
    let mut hanging = rig.front.connect().await;
    hanging.send([0x16, 3, 1]).await;
    assert_eq!(rig.deliver().await, Ok(200));
    rig.front.shutdown.advance(Phase::Closing);
    assert!(rig.front.served.await.is_ok());
    hanging.rest().await;
}

#[tokio::test]
async fn a_new_pair_is_taken_up_when_the_link_is_swapped_and_open_connections_go_on() {
    let rig = Rig::start().await;
    let old = rig.served().await;
    let mut open = within(rig.authority.trusting(None).connect(&rig.front)).await.unwrap();
    rig.mount.swap(&rig.authority.server());
    eventually(|| rig.reloads("done") == 1).await;
    assert_ne!(rig.served().await, old);
    assert_eq!(rig.deliver().await, Ok(200));

    open.write_all(post("{}", "connection: close\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(open.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert!(rig.is_fine());
}

#[tokio::test]
async fn a_pair_that_can_not_be_used_keeps_the_old_one_until_it_is_mended() {
    let rig = Rig::start().await;
    let old = rig.served().await;
    let (new, other) = (rig.authority.server(), rig.authority.server());
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let broken = [
        Pair { certificate: new.certificate.clone(), key: other.key.clone() },
        Pair { certificate: cut(&new.certificate), key: new.key.clone() },
        Pair { certificate: new.certificate.clone(), key: cut(&new.key) },
        Pair { certificate: String::new(), key: new.key.clone() },
        Pair { certificate: new.key.clone(), key: new.certificate.clone() },
    ];
    for (failed, pair) in (1..).zip(&broken) {
        rig.mount.swap(pair);
        eventually(|| rig.reloads("failed") == failed).await;
        assert!(!rig.is_fine());
        assert_eq!(rig.served().await, old);
    }
    rig.mount.swap(&new);
    eventually(|| rig.is_fine()).await;
    assert_ne!(rig.served().await, old);
}

#[tokio::test]
async fn a_pair_that_is_gone_keeps_the_old_one() {
    let rig = Rig::start().await;
    let old = rig.served().await;
    fs::remove_file(rig.mount.path("tls.key")).unwrap();
    eventually(|| rig.reloads("failed") == 1).await;
    assert_eq!(rig.served().await, old);
}

#[tokio::test]
async fn metrics_tell_from_when_to_when_the_certificate_in_use_is_valid() {
    let rig = Rig::start().await;
    let time = |what: &str| {
        let text = rig.front.metrics.render();
        let name = format!("millrace_tls_certificate_{what}_timestamp_seconds");
        let line = format!("{name}{{key=\"listen.tls.certificate_file\"}} ");
        text.lines().find_map(|l| l.strip_prefix(&*line)?.parse::<u64>().ok())
    };
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    rig.mount.swap(&rig.authority.issue(params));
    eventually(|| time("expiry") == Some(4_102_444_800)).await;
    assert_eq!(time("start"), Some(3_786_912_000));
}

#[test]
fn no_error_about_a_key_tells_anything_of_it() {
    let authority = Authority::new();
    let pair = authority.server();
    let body: String = pair.key.lines().nth(1).unwrap().into();
    let broken = [
        pair.key.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN"),
        pair.key.replace("-----END", "----END"),
        pair.key.replace(&body, &format!("{body}!")),
        pair.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        body.clone(),
        String::new(),
    ];
    for key in broken {
        let mount = Mount::with(&Pair { certificate: pair.certificate.clone(), key });
        let mistakes = Tls::check(&mount.tls(None), std::time::SystemTime::now());
        let [error] = &mistakes[..] else { panic!("{mistakes:?}") };
        let told = format!("{error} {error:?}");
        assert!(!told.contains(&body[..8]), "{told}");
        assert!(error.to_string().starts_with("listen.tls.key_file names `"), "{error}");
    }
}

/// OpenSSL's command line sends `request` and prints what comes back; `None` without a handshake.
async fn s_client(front: &Front, ca: &Path, options: &[&str], request: &str) -> Option<String> {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost"])
        .arg("-connect")
        .arg(front.address.to_string())
        .arg("-CAfile")
        .arg(ca)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let request = request.to_owned();
    let client = tokio::task::spawn_blocking(move || {
        let mut client = command.spawn().unwrap();
        let mut stdin = client.stdin.take().unwrap();
        // A client that was refused reads no more.
        let _ = stdin.write_all(request.as_bytes());
        let output = client.wait_with_output().unwrap();
        drop(stdin);
        String::from_utf8(output.stdout).unwrap()
    });
    let text = within(client).await.unwrap();
    (!text.is_empty()).then_some(text)
}

#[tokio::test]
async fn openssl_is_served_over_1_2_and_1_3_and_refused_below() {
    let rig = Rig::start().await;
    let ca = rig.mount.path("trusted.crt");
    fs::write(&ca, rig.authority.pem()).unwrap();
    let request = post("{}", "connection: close\r\n");
    for version in ["-tls1_2", "-tls1_3"] {
        let answer = s_client(&rig.front, &ca, &[version], &request).await;
        let answer = answer.unwrap_or_else(|| panic!("no answer over {version}"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{version}: {answer}");
    }
    assert_eq!(rig.front.refused("tls-handshake"), 0);
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    assert_eq!(s_client(&rig.front, &ca, &old, &request).await, None);
    eventually(|| rig.front.refused("tls-handshake") == 1).await;
    assert_eq!(rig.front.store.stored().len(), 2);
}

#[tokio::test]
async fn a_connection_that_gives_way_is_closed_without_a_word() {
    let rig = Rig::with(|config| config.connections = 1).await;
    let mut silent = Raw::connect(rig.front.address).await;
    let mut sender = rig.authority.trusting(None).connect(&rig.front).await.unwrap();
    sender.write_all(post("{}", "").as_bytes()).await.unwrap();
    eventually(|| rig.front.deliveries("leads", "stored") == 1).await;
    assert!(silent.is_closed().await);
    assert_eq!(rig.front.refused("too-many-connections"), 1);
}
