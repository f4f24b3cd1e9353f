//! Which image a container was made from, out of the records that its engine keeps on this host.
//!
//! *Invariants*: a record that is not there, too long or of another form gives no name, never an error.
//! *Limits*: [`RECORD_BYTES_MAX`] bytes of a record.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

/// Longest record that is read; Podman keeps those of all containers in one.
const RECORD_BYTES_MAX: u64 = 4 << 20;

/// The name of the image of container `id`, by the engines' records below `root`.
pub fn image(root: &Path, id: &str) -> Option<String> {
    docker(root, id).or_else(|| containerd(root, id)).or_else(|| podman(root, id))
}

fn docker(root: &Path, id: &str) -> Option<String> {
    let record = record(&root.join("var/lib/docker/containers").join(id).join("config.v2.json"))?;
    text(&record, "/Config/Image")
}

/// The OCI bundle that containerd made for Kubernetes.
fn containerd(root: &Path, id: &str) -> Option<String> {
    let tasks = root.join("run/containerd/io.containerd.runtime.v2.task/k8s.io");
    let record = record(&tasks.join(id).join("config.json"))?;
    text(&record, "/annotations/io.kubernetes.cri.image-name")
}

/// Podman and CRI-O: one list of all, each with a text that is JSON itself.
fn podman(root: &Path, id: &str) -> Option<String> {
    let list = record(&root.join("var/lib/containers/storage/overlay-containers/containers.json"))?;
    let own = list.as_array()?.iter().find(|it| it["id"] == id)?;
    let metadata: Value = serde_json::from_str(own["metadata"].as_str()?).ok()?;
    text(&metadata, "/image-name")
}

fn text(record: &Value, pointer: &str) -> Option<String> {
    record.pointer(pointer)?.as_str().map(str::to_owned)
}

fn record(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(RECORD_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > RECORD_BYTES_MAX { None } else { serde_json::from_slice(&bytes).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_has_its_own_record() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("var/lib/docker/containers/aa/config.v2.json", r#"{"Config":{"Image":"web:1"}}"#);
        write("var/lib/docker/containers/ee/config.v2.json", r#"{"Config":{"Image":7}}"#);
        write(
            "run/containerd/io.containerd.runtime.v2.task/k8s.io/bb/config.json",
            r#"{"annotations":{"io.kubernetes.cri.image-name":"registry.example/web:2"}}"#,
        );
        write(
            "var/lib/containers/storage/overlay-containers/containers.json",
            r#"[{"id":"dd"},{"id":"cc","metadata":"{\"image-name\":\"localhost/web:3\"}"}]"#,
        );
        write("var/lib/docker/containers/ff/config.v2.json", &" ".repeat(RECORD_BYTES_MAX as usize + 1));
        let cases = [
            ("aa", Some("web:1")),
            ("bb", Some("registry.example/web:2")),
            ("cc", Some("localhost/web:3")),
            ("dd", None),
            ("ee", None),
            ("ff", None),
            ("00", None),
        ];
        for (id, expected) in cases {
            assert_eq!(image(dir.path(), id).as_deref(), expected, "{id}");
        }
    }
}
