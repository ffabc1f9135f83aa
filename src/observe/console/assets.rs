//! The files that pages load: one style sheet, one script, one icon, in the binary. Each address has the file's
//! checksum, so that a browser keeps the file for good, and an upgrade brings a new address.

use bytes::Bytes;

pub struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

pub static STYLE: Asset = Asset {
    name: "console.css",
    content_type: "text/css; charset=utf-8",
    text: include_str!("assets/console.css"),
};
pub static SCRIPT: Asset = Asset {
    name: "console.js",
    content_type: "text/javascript; charset=utf-8",
    text: include_str!("assets/console.js"),
};
pub static ICON: Asset = Asset {
    name: "icon.svg",
    content_type: "image/svg+xml",
    text: include_str!("assets/icon.svg"),
};

impl Asset {
    pub fn address(&self) -> String {
        format!("/console/{}?v={:08x}", self.name, crc32c::crc32c(self.text.as_bytes()))
    }

    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    pub fn bytes(&self) -> Bytes {
        Bytes::from_static(self.text.as_bytes())
    }
}

/// Returns the asset at this path.
pub fn at(path: &str) -> Option<&'static Asset> {
    let name = path.strip_prefix("/console/")?;
    [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name)
}
