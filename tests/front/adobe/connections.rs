//! Whose connections are kept when there are too many.

use super::rig::{CLIENT_ID, EVENT, Rig, signed};
use crate::support::Raw;

async fn deliver_on(connection: &mut Raw, body: &str) -> String {
    let mut head = "POST /v1/audit HTTP/1.1\r\nhost: here\r\n".to_owned();
    for line in signed(body.as_bytes()) {
        head += &format!("{line}\r\n");
    }
    connection.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
    connection.reply().await.text().to_owned()
}

#[tokio::test]
async fn a_good_signature_under_a_delivery_for_another_customer_keeps_no_connection() {
    let rig = Rig::with(|config| config.connections = 8, false).await;
    let mut ours = rig.front.connect().await;
    assert_eq!(deliver_on(&mut ours, EVENT).await, "stored");
    let foreign = EVENT.replace(CLIENT_ID, "somebody-else");
    let mut others = Vec::new();
    for _ in 0..40 {
        let mut other = rig.front.connect().await;
        assert_eq!(deliver_on(&mut other, &foreign).await, "meant for somebody else");
        others.push(other);
    }
    assert_eq!(deliver_on(&mut ours, EVENT).await, "stored", "it has kept its connection");
}
