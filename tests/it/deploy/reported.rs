//! What comes from a web server beside the image, and what goes to one.

use super::world::*;
use imgforge::digest::Sha256;

/// A machine file counts by its digest; every event and the end go to the server, and the console has them, too.
#[test]
fn a_machine_file_comes_by_its_digest_and_an_installation_tells_a_server() {
    let (world, _) = one_root();
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let own = b"hostname: web-7\n";
    let told = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&told);
    let server = Server::start(move |request, _| {
        if request.path == "/machine.yaml" {
            return Answer::of(own);
        }
        let body = String::from_utf8_lossy(&request.body).into_owned();
        *heard.lock().unwrap() += &(body + "\n");
        Answer::of(b"")
    });
    let report = server.text("report");
    let machine_file = |digest: &Sha256| format!("{}#sha256={digest}", server.text("machine.yaml"));
    let disk = machine.disk_with(200 << 20, b"");
    let deploy = |digest: &Sha256| {
        let own = machine_file(digest);
        machine.deploy(&base, &disk, &["--report", &report, "--machine", &own])
    };
    let error = deploy(&Sha256::of(b"another")).unwrap_err().render();
    assert!(
        error.contains("is not the machine file that was named"),
        "{error}"
    );
    assert!(std::fs::read(&disk).unwrap().iter().all(|byte| *byte == 0));
    let said = std::mem::take(&mut *told.lock().unwrap());
    let last = said.lines().last().unwrap();
    assert!(last.contains(r#""event":"error","kind":"gate""#), "{said}");

    deploy(&Sha256::of(own)).unwrap();
    assert_eq!(tree(&disk).0["etc/hostname"].3, own[10..]);
    let said = told.lock().unwrap().clone();
    assert!(
        said.contains(r#""event":"started","image":"web","stage":"deploy""#),
        "{said}"
    );
    let last: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["deployed"]["written"], true, "{said}");
}

#[test]
fn a_server_that_takes_no_reports_stops_nothing() {
    let (world, image) = one_root();
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let server = Server::start(|_, _| Answer::status(404));
    let disk = machine.disk_with(200 << 20, b"");
    let report = server.text("report");
    machine
        .deploy(&base, &disk, &["--report", &report])
        .unwrap();
    assert!(tree(&disk).0 == tree(&image.raw).0);
    assert!(
        server
            .requests()
            .iter()
            .any(|request| request.path == "/report")
    );
}
