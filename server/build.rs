//! Makes sure that `web/dist` exists, so that the server also builds where the page was not built.

fn main() -> std::io::Result<()> {
    let dist = std::path::Path::new("../web/dist");
    fs_err::create_dir_all(dist)?;
    println!("cargo::rerun-if-changed={}", dist.display());
    Ok(())
}
