package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"racoon2/agent"
	"racoon2/agent/logging"
	"racoon2/kernel/fake"
)

// run runs the program in this process.
func run(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = Main(args, &out, &errs)
	return status, out.String(), errs.String()
}

// write writes a private file in a test's folder and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// configure writes a configuration for a host on a loopback address.
func configure(t *testing.T, dir string) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	port := c.LocalAddr().(*net.UDPAddr).Port
	c.Close()
	write(t, dir, "psk", "secret")
	return write(t, dir, "racoon2.conf", fmt.Sprintf(`interface { ike { 127.0.0.1 port %d; }; spmd unix "%s/run/spmif"; };
remote tokyo {
	ikev2 {
		my_id fqdn "a.example";
		peers_id fqdn "b.example";
		peers_ipaddr 127.0.0.2;
		pre_shared_key "%[2]s/psk";
		nat_traversal off;
	};
};
selector tokyo_out { direction outbound; src 127.0.0.1; dst 127.0.0.2; policy_index p; };
selector tokyo_in { direction inbound; src 127.0.0.2; dst 127.0.0.1; policy_index p; };
policy p { action auto_ipsec; remote_index tokyo; ipsec_mode transport; };
`, port, dir))
}

// startAgent runs an agent with a kernel in memory until the test ends.
func startAgent(t *testing.T) (conf string) {
	t.Helper()
	dir := t.TempDir()
	conf = configure(t, dir)
	log, err := logging.Open(logging.Options{Destination: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.Start(agent.Options{
		Config: conf, RunDir: filepath.Join(dir, "run"), Log: log,
		Backend: fake.NewBackend(fake.New("a"), nil, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Shutdown(t.Context())
		log.Close()
	})
	return conf
}

// TestExitStatus holds what each misuse and failure answers with.
func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	good := configure(t, dir)
	bad := write(t, dir, "bad.conf", "remote x { nonsense on; };\n")
	for _, test := range []struct {
		name   string
		args   string
		status int
		stdout string
		stderr string
	}{
		{"no command", "", 2, "", "a command is needed"},
		{"unknown command", "frob", 2, "", `unknown command "frob"`},
		{"unknown flag", "status --frob", 2, "", "unknown flag: --frob\nTry \"racoon2 status --help\""},
		{"too many words", "version now", 2, "", "unknown command \"now\""},
		{"half a command", "sa", 2, "", "racoon2 sa needs a further word"},
		{"bad kernel", "run --kernel bsd", 2, "", "--kernel is auto, xfrm or userspace"},
		{"bad level", "run --log-level loud", 2, "", `log level "loud"`},
		{"bad format", "run --log-format xml", 2, "", "--log-format is text or json"},
		{"no log folder", "run --log-file " + dir + "/none/log", 1, "", "no such file or directory"},
		{"help", "--help", 0, "Usage:", ""},
		{"help of run", "help run", 0, "SIGHUP reads the", ""},
		{"version", "version", 0, "racoon2 " + agent.Version, ""},
		{"completion", "completion bash", 0, "racoon2", ""},
		{"check, no file", "check -c " + dir + "/none.conf", 2, "none.conf: error:", "configuration errors: 1"},
		{"check, errors", "check -c " + bad, 2, "bad.conf:1:12: error: nonsense is not a directive", "configuration errors:"},
		{"check, good", "check -c " + good, 0, "", "configuration errors: 0, warnings: 0"},
		{"run, no file", "run -c " + dir + "/none.conf", 2, "", "none.conf"},
		{"run, errors", "run -c " + bad, 2, "", "bad.conf:1:12: error:"},
		{"nobody there", "status --run-dir " + dir + "/none --socket " + dir + "/none/spmif", 1, "", "no agent answers at"},
		{"nobody there, by configuration", "status -c " + good, 1, "", "is it running?"},
		{"client, bad configuration", "status -c " + bad, 2, "", "bad.conf:1:12: error:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := run(strings.Fields(test.args)...)
			if status != test.status || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) {
				t.Errorf("status %d, stdout %q, stderr %q; want %d, %q, %q", status, stdout, stderr, test.status, test.stdout, test.stderr)
			}
			if test.stdout == "" && stdout != "" {
				t.Errorf("stdout %q, want none", stdout)
			}
		})
	}
}

func TestCheckWarns(t *testing.T) {
	dir := t.TempDir()
	conf := configure(t, dir)
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "racoon2.conf", strings.Replace(string(text), "my_id", "kmp_enc_alg { 3des_cbc; aes256_cbc; }; my_id", 1))
	status, stdout, _ := run("check", "-c", conf)
	if status != 1 || !strings.Contains(stdout, "warning:") {
		t.Errorf("status %d, %q", status, stdout)
	}
	if err := os.Chmod(filepath.Join(dir, "psk"), 0o644); err != nil {
		t.Fatal(err)
	}
	status, stdout, _ = run("check", "-c", conf, "--json")
	var findings []struct{ Code, Severity string }
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil || status != 2 {
		t.Fatalf("status %d, %v in %s", status, err, stdout)
	}
	found := false
	for _, f := range findings {
		found = found || f.Code == "key-file" && f.Severity == "error"
	}
	if !found {
		t.Errorf("the key file's mode is not found: %s", stdout)
	}
}

func TestClientCommands(t *testing.T) {
	conf := startAgent(t)
	socket := filepath.Join(filepath.Dir(conf), "run", "spmif")
	for _, test := range []struct {
		args   []string
		stdout string
	}{
		{[]string{"status"}, "out protect tokyo_out: 127.0.0.1/32[any] 127.0.0.2/32[any] any"},
		{[]string{"status"}, "kernel    fake (given)"},
		{[]string{"status", "--json"}, `"selector": "tokyo_out"`},
		{[]string{"sa", "list", "--json"}, "[]"},
		{[]string{"sa", "flush"}, "deleted 0 IKE SAs and 0 children"},
		{[]string{"sa", "flush", "tokyo", "--json"}, `"ike_sas": 0`},
		{[]string{"policy", "dump"}, "selector=tokyo_out spid="},
		{[]string{"policy", "dump", "--json"}, `"direction": "out"`},
	} {
		for _, at := range [][]string{{"-c", conf}, {"--socket", socket}} {
			status, stdout, stderr := run(append(test.args, at...)...)
			if status != 0 || !strings.Contains(stdout, test.stdout) || stderr != "" {
				t.Errorf("%v: status %d, stdout %q, stderr %q; want %q", test.args, status, stdout, stderr, test.stdout)
			}
		}
	}
	if status, _, stderr := run("sa", "flush", "nobody", "--socket", socket); status != 1 || !strings.Contains(stderr, "nobody") {
		t.Errorf("flush of nobody: %d, %q", status, stderr)
	}
	write(t, filepath.Dir(socket), "spmd.pwd", "wrong")
	if status, _, stderr := run("status", "--socket", socket); status != 1 || !strings.Contains(stderr, "wrong spmif password") {
		t.Errorf("wrong password: %d, %q", status, stderr)
	}
}

func TestVersionJSON(t *testing.T) {
	_, stdout, _ := run("version", "--json")
	var v map[string]string
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || v["version"] != agent.Version || v["os"] == "" {
		t.Errorf("%v, %v", v, err)
	}
}

// TestManuals writes the manual pages and checks the shape of each.
func TestManuals(t *testing.T) {
	dir := t.TempDir()
	if status, _, stderr := run("man", "--dir", dir); status != 0 {
		t.Fatal(stderr)
	}
	pages, err := fs.Glob(os.DirFS(dir), "*.8")
	if err != nil || len(pages) < 10 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{".TH RACOON2", ".SH NAME\nracoon2", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH EXIT STATUS"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q", page, want)
			}
		}
	}
	if status, _, _ := run("man", "--dir", filepath.Join(dir, "none")); status != 1 {
		t.Errorf("a folder that is not there: status %d", status)
	}
}

func TestRoff(t *testing.T) {
	if got := roff(".TH a-b\n'c\\d"); got != "\\&.TH a\\-b\n\\&'c\\ed" {
		t.Errorf("%q", got)
	}
}

// TestStatusText shows a full state, with hostile names, within 80 columns.
func TestStatusText(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	since, until := now.Add(-90*time.Second), now.Add(time.Hour)
	s := &agent.Status{
		Version: "v1", Uptime: 3723, Config: "/etc/racoon2/racoon2.conf",
		Kernel:   agent.KernelStatus{Name: "userspace", Why: "xfrm: the kernel has no ESP (protocol not supported); ESP runs in this process over a TUN device"},
		Sockets:  []agent.SocketStatus{{Address: netip.MustParseAddrPort("0.0.0.0:500")}, {Address: netip.MustParseAddrPort("[::]:4500"), NAT: true}},
		Warnings: []string{strings.Repeat("x", 200)},
		IKESAs: []agent.IKEStatus{{
			Remote: "tokyo", State: "ESTABLISHED", Initiator: true, SPIi: "0123456789abcdef", SPIr: "fedcba9876543210",
			Local:   "[2001:db8:1111:2222:3333:4444:5555:6666]:4500",
			Peer:    "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:4500",
			LocalID: "fqdn a.example", RemoteID: "fqdn b.example\x1b[2J",
			Encr: "ENCR_AES_GCM_16-256", PRF: "PRF_HMAC_SHA2_256", KE: "CURVE25519", NATLocal: true, NATRemote: true,
			Established: &since, Expires: &until,
			Children: []agent.ChildStatus{{
				Name: "tokyo_out", Protocol: "ESP", Mode: "tunnel", SPIIn: "c0000001", SPIOut: "c0000002",
				Local: "10.0.0.1", Remote: "10.0.0.2", TSLocal: []string{"10.1.0.0/16[any]"}, TSRemote: []string{"10.2.0.0/16[any]"},
				Encr: "ENCR_AES_GCM_16-256", Encap: true, Established: &since,
				In:  &agent.Traffic{Packets: 3, Bytes: 252, ReplayErr: 1},
				Out: &agent.Traffic{Packets: 4, Bytes: 336, AuthErr: 2},
			}},
		}},
		Policies: []agent.PolicyStatus{{Selector: "tokyo_out", ID: 1, Direction: "out", Action: "protect", Traffic: "10.1.0.0/16[any] 10.2.0.0/16[any] any", State: "failed: no"}},
		Counters: map[string]uint64{"ikev2.no_proposal_chosen": 3},
	}
	got := statusText(s, now)
	for _, want := range []string{
		"racoon2   v1, up 1h2m3s, /etc/racoon2/racoon2.conf\n",
		"sockets   0.0.0.0:500\n          [::]:4500 (NAT traversal)\n",
		"IKE SAs: 1\n  tokyo  ESTABLISHED  initiator\n",
		"    spi     0123456789abcdef - fedcba9876543210\n",
		"    both ends are behind a NAT\n    since 1m30s, ends in 1h0m0s\n",
		"    child tokyo_out  ESP tunnel in UDP\n",
		"      received 3 packets, 252 octets, 1 replayed\n      sent     4 packets, 336 octets, 2 forged\n",
		"  out protect tokyo_out: 10.1.0.0/16[any] 10.2.0.0/16[any] any\n      failed: no\n",
		"  ikev2.no_proposal_chosen                 3\n",
		"fqdn b.example?[2J",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q in\n%s", want, got)
		}
	}
	for _, line := range strings.Split(got, "\n") {
		if utf8.RuneCountInString(line) > width {
			t.Errorf("line of %d columns: %q", utf8.RuneCountInString(line), line)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text string
		want string
	}{
		{"", ""},
		{"short", "short"},
		{"one two three", "one two|three"},
		{"abcdefghijkl", "abcdefghij|kl"},
		{"abcdefghij klm", "abcdefghij|klm"},
		{"ä ö ü ß é è ê", "ä ö ü ß é|è ê"},
	} {
		if got := strings.Join(wrap(test.text, 10, 0), "|"); got != test.want {
			t.Errorf("wrap(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}

// TestWordsThatAreNoCommands: typing errors and files in a command's place are
// answered with what was probably meant; check and show take the file as it stands.
func TestWordsThatAreNoCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "racoon2.conf")
	if err := os.WriteFile(file, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"sttaus": `Did you mean "racoon2 status"?`, "config nwe": `Did you mean "racoon2 config new"?`,
		"run " + file: "Did you mean -c " + file + "?", "status /nowhere": `Try "racoon2 status --help"`,
		"check /nowhere": "racoon2 config new writes a first one",
	} {
		if status, stdout, stderr := run(strings.Fields(args)...); status != 2 || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%s: status %d, %q, want %q", args, status, stdout+stderr, want)
		}
	}
	for _, args := range []string{"check " + file, "check -c " + file, "config show " + file} {
		if status, stdout, stderr := run(strings.Fields(args)...); status != 0 {
			t.Errorf("%s: status %d, %q, %q", args, status, stdout, stderr)
		}
	}
}
