//! Tests with a real name server, dnsmasq, and with datagrams that it would never send.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

const SERVICE: &str = "_outstation._tcp.example.com";

/// A dnsmasq with these records and no others.
struct NameServer {
    child: Child,
    address: SocketAddr,
}

impl NameServer {
    /// Starts dnsmasq. If it is not installed, a skip is printed and `None` returned.
    async fn start(records: &[String]) -> Option<Self> {
        let Some(program) = ["/usr/sbin/dnsmasq", "/sbin/dnsmasq"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.exists())
        else {
            assert!(std::env::var_os("OUTSTATION_TEST_STRICT").is_none(), "dnsmasq is missing");
            eprintln!("SKIPPED: dnsmasq is not installed (apt install dnsmasq-base)");
            return None;
        };
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let child = Command::new(program)
            .args(["--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"])
            .args(["--bind-interfaces", "--listen-address=127.0.0.1", "--local=/example.com/"])
            .args(["--user=", "--group=", "--pid-file="])
            .arg(format!("--port={}", address.port()))
            .args(records)
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq starts");
        let server = Self { child, address };
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
        Some(server)
    }

    fn resolver(&self) -> Resolver {
        Resolver { servers: vec![self.address] }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn target(priority: u16, weight: u16, host: &str, port: u16) -> Target {
    Target { priority, weight, host: host.into(), port }
}

#[tokio::test]
async fn a_service_is_found_with_priorities_weights_and_how_long_they_hold() {
    let records = [
        format!("--srv-host={SERVICE},a.example.com,8443,10,3"),
        format!("--srv-host={SERVICE},b.example.com,8444,20,1"),
        "--local-ttl=77".to_owned(),
    ];
    let Some(server) = NameServer::start(&records).await else { return };
    let mut found = server.resolver().lookup(SERVICE).await.expect("found");
    found.targets.sort_by_key(|target| target.priority);
    let expected = [target(10, 3, "a.example.com", 8443), target(20, 1, "b.example.com", 8444)];
    assert_eq!(found.targets, expected);
    assert_eq!(found.ttl, Duration::from_secs(77));
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_is_asked_for_again_over_tcp() {
    let record = |n: u16| format!("--srv-host={SERVICE},collector-number-{n}.example.com,{n},1,1");
    let records: Vec<String> = (1..=40).map(record).collect();
    let Some(server) = NameServer::start(&records).await else { return };
    let found = server.resolver().lookup(SERVICE).await.expect("found");
    assert_eq!(found.targets.len(), 40);
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_not_there() {
    let Some(server) = NameServer::start(&["--srv-host=_x._tcp.example.com".to_owned()]).await
    else {
        return;
    };
    // The server does not know the first name, and says of the second that the service does not exist.
    for service in [SERVICE, "_x._tcp.example.com"] {
        let error = server.resolver().lookup(service).await.expect_err("absent");
        assert!(matches!(error, LookupError::Absent(_)), "{error}");
    }
}

#[tokio::test]
async fn the_next_name_server_is_asked_when_one_does_not_answer() {
    let records = [format!("--srv-host={SERVICE},a.example.com,8443")];
    let Some(server) = NameServer::start(&records).await else { return };
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let dead = closed.local_addr().expect("bound");
    drop(closed);
    let resolver = Resolver { servers: vec![dead, server.address] };
    assert_eq!(resolver.lookup(SERVICE).await.expect("found").targets.len(), 1);
}

/// A name server that answers each question with the datagrams that `answer` makes of it.
async fn forger(
    answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (Resolver, tokio::task::JoinSet<()>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let servers = vec![socket.local_addr().expect("bound")];
    let mut forging = tokio::task::JoinSet::new();
    forging.spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            for datagram in answer(&buffer[..length]) {
                drop(socket.send_to(&datagram, from).await);
            }
        }
    });
    (Resolver { servers }, forging)
}

/// The answer to a question, with one record of this host and port.
fn answer_to(question: &[u8], host: &str, port: u16) -> Vec<u8> {
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::SRV;
    let mut packet = Packet::parse(question).expect("a question").into_reply();
    let target = Name::new_unchecked(host);
    let srv = SRV { priority: 1, weight: 1, port, target };
    let name = Name::new_unchecked(SERVICE);
    packet.answers.push(ResourceRecord::new(name, CLASS::IN, 60, RData::SRV(srv)));
    packet.build_bytes_vec().expect("built")
}

#[tokio::test]
async fn an_answer_to_another_question_is_not_taken() {
    let (resolver, _forging) = forger(|question| {
        let mut stray = answer_to(question, "evil.example.com", 1);
        stray[0] ^= 0xFF;
        vec![stray, answer_to(question, "good.example.com", 2)]
    })
    .await;
    let found = resolver.lookup(SERVICE).await.expect("found");
    assert_eq!(found.targets, [target(1, 1, "good.example.com", 2)]);
}

#[tokio::test]
async fn garbage_is_an_error_and_never_a_panic() {
    let (resolver, _forging) = forger(|question| {
        let mut rng = fastrand::Rng::with_seed(u64::from(question[1]));
        let mut garbage: Vec<u8> = question[..2].to_vec();
        garbage.extend((0..rng.usize(..300)).map(|_| rng.u8(..)));
        vec![garbage]
    })
    .await;
    for _ in 0..200 {
        resolver.lookup(SERVICE).await.expect_err("garbage");
    }
}

#[tokio::test]
async fn the_next_name_server_is_asked_when_one_answers_nonsense() {
    let (nonsense, _forging) = forger(|question| vec![question[..2].to_vec()]).await;
    let (sound, _answering) =
        forger(|question| vec![answer_to(question, "a.example.com", 2)]).await;
    let resolver = Resolver { servers: [nonsense.servers, sound.servers].concat() };
    let found = resolver.lookup(SERVICE).await.expect("found");
    assert_eq!(found.targets, [target(1, 1, "a.example.com", 2)]);
}

#[tokio::test]
async fn a_target_that_would_break_out_of_a_url_is_left_out() {
    let (resolver, _forging) = forger(|question| vec![answer_to(question, "a@evil/x", 443)]).await;
    let error = resolver.lookup(SERVICE).await.expect_err("no usable target");
    assert!(matches!(error, LookupError::Absent(_)), "{error}");
}
