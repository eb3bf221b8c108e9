//! A GPU that fails on command: a Vulkan layer (`faults.c`), built here and put between the program and its driver.

use super::program::until;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name under which the loader finds the layer.
const LAYER: &str = "VK_LAYER_RX_faults";

/// The layer, built into a folder of the test.
pub struct Faults {
    folder: PathBuf,
    orders: PathBuf,
}

impl Faults {
    /// Builds it; nothing, after saying so, where there is no compiler for it.
    pub fn build(folder: &Path) -> Option<Faults> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/faults.c");
        let library = folder.join("faults.so");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output();
        let Ok(built) = built else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "cc is missing, and CI=true forbids to skip");
            eprintln!("skipped: cc is missing");
            return None;
        };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let manifest = serde_json::json!({
            "file_format_version": "1.1.0",
            "layer": {
                "name": LAYER, "type": "GLOBAL", "library_path": library, "api_version": "1.3.0",
                "implementation_version": "1", "description": "fails on command",
            },
        });
        std::fs::write(folder.join("faults.json"), manifest.to_string()).unwrap();
        Some(Faults { folder: folder.to_owned(), orders: folder.join("orders") })
    }

    /// From now on the program's GPU can fail.
    pub fn under(&self, command: &mut Command) {
        command.env("VK_LAYER_PATH", &self.folder).env("VK_INSTANCE_LAYERS", LAYER).env("RX_GPU_FAULTS", &self.orders);
    }

    /// Gives an order, as `faults.c` lists them. It stands there whole or not at all.
    pub fn order(&self, order: &str) {
        let written = self.folder.join("order");
        std::fs::write(&written, order).unwrap();
        std::fs::rename(&written, &self.orders).unwrap();
    }

    /// Waits until the last order was done.
    pub fn wait(&self) {
        until("the fault", || (!self.orders.exists()).then_some(()), String::new);
    }
}
