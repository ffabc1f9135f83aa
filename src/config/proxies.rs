//! `listen.trusted_proxies`: addresses and networks of proxies.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    leaf::string,
    reading::{Reading, Section},
    written::list,
};

/// Reads the list; `None` after a mistake.
pub(super) fn read(reading: &mut Reading, section: &mut Section) -> Option<Vec<IpNet>> {
    reading.any_or(
        section,
        "trusted_proxies",
        Vec::new(),
        |value| {
            let remedy =
                "Write the proxies' addresses or networks, as in `10.0.0.0/8` or `192.0.2.7`.";
            let wrong = |problem: String| (problem, remedy.to_owned());
            let texts = list(value).map_err(wrong)?;
            let mut networks = Vec::new();
            let mut problems = Vec::new();
            for network in texts.iter().map(|text| network(text)) {
                match network {
                    Ok(network) => networks.push(network),
                    Err(problem) => problems.push(problem),
                }
            }
            if problems.is_empty() { Ok(networks) } else { Err(wrong(problems.join("; "))) }
        },
        |networks| {
            let shown: Vec<_> =
                networks.iter().map(|network| string(&network.to_string())).collect();
            format!("[{}]", shown.join(", "))
        },
    )
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse());
    match address {
        Ok(network) if network.prefix_len() == 0 => Err(format!(
            "contains `{text}`, which matches every address: any client could fake its address"
        )),
        Ok(network) => Ok(network.trunc()),
        Err(_) => Err(format!("contains `{text}`, which is neither an IP address nor a network")),
    }
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn addresses_and_networks_are_taken_and_everybody_is_not() {
        let shown = |text| network(text).map(|network| network.to_string());
        assert_eq!(shown("10.1.2.3/8"), Ok("10.0.0.0/8".into()));
        assert_eq!(shown(" 192.0.2.7 "), Ok("192.0.2.7/32".into()));
        assert_eq!(shown("2001:db8::7"), Ok("2001:db8::7/128".into()));
        for wrong in ["0.0.0.0/0", "::/0", "1.2.3.4/0", "10.0.0.0/33", "10.0.0", "proxy.test", ""] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
