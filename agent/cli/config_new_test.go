package cli

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"racoon2/agent"
	"racoon2/config"
)

// TestConfigNew makes pairs and loads both ends without a finding.
func TestConfigNew(t *testing.T) {
	for _, test := range []struct {
		name, args string
		ends       []string
		want       string
	}{
		{"tunnel", "--from osaka@192.0.2.2 --to tokyo@192.0.2.1 --my-net 10.2.0.0/24 --peer-net 10.1.0.0/24,10.3.0.0/24",
			[]string{"osaka", "tokyo"}, "ipsec_mode tunnel;\n\tmy_sa_ipaddr 192.0.2.2;"},
		{"transport", "--from 192.0.2.2 --to 192.0.2.1", []string{"192.0.2.2", "192.0.2.1"}, "ipsec_mode transport;"},
		{"IPv6", "--from a@2001:db8::1 --to 2001:db8::2 --mode tunnel", []string{"a", "2001:db8::2"}, "src 2001:db8::1;"},
		{"both families", "--from a@192.0.2.2 --to b@192.0.2.1 --my-net 10.2.0.0/24,fd02::/64 --peer-net fd01::/64",
			[]string{"a", "b"}, "src fd02::/64;"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			args := append([]string{"config", "new", "--out", dir}, strings.Fields(test.args)...)
			status, stdout, stderr := run(args...)
			if status != 0 || strings.Count(stdout, "\n") != 4 || !strings.Contains(stderr, "racoon2 check") {
				t.Fatalf("status %d, %q, %q", status, stdout, stderr)
			}
			var keys []string
			for i, end := range test.ends {
				conf := filepath.Join(dir, end, "racoon2.conf")
				if f := agent.Check(conf, agent.CheckOptions{}); len(f) > 0 {
					t.Errorf("%s has findings: %v", conf, f)
				}
				if status, out, _ := run("config", "fmt", "-l", conf); status != 0 {
					t.Errorf("config fmt would change %s", out)
				}
				key := filepath.Join(dir, end, "psk", test.ends[1-i])
				data, err := os.ReadFile(key)
				if err != nil || config.CheckSecretFile(key) != nil || len(data) != 44 {
					t.Errorf("key of %d octets, %v", len(data), err)
				}
				keys = append(keys, string(data))
			}
			if keys[0] != keys[1] {
				t.Error("the ends have different keys")
			}
			text, err := os.ReadFile(filepath.Join(dir, test.ends[0], "racoon2.conf"))
			if err != nil || !strings.Contains(string(text), test.want) {
				t.Errorf("lacks %q: %v\n%s", test.want, err, text)
			}
			if strings.Contains(stdout+stderr+string(text), keys[0]) {
				t.Error("the key is in the open")
			}
			if status, _, stderr := run(args...); status != 1 || !strings.Contains(stderr, "is there already") {
				t.Errorf("overwriting: status %d, %q", status, stderr)
			}
		})
	}
}

func TestConfigNewPlaceAndJSON(t *testing.T) {
	dir := t.TempDir()
	status, stdout, _ := run("config", "new", "--from", "a@192.0.2.1", "--to", "b@192.0.2.2", "--out", dir, "--place", "/etc/racoon2", "--json")
	var got struct{ Files []string }
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != 0 || len(got.Files) != 4 {
		t.Fatalf("status %d, %v, %q", status, err, stdout)
	}
	text, err := os.ReadFile(got.Files[0])
	if err != nil || !strings.Contains(string(text), `pre_shared_key "/etc/racoon2/psk/b";`) {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestConfigNewRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ args, stderr string }{
		{"", "--from is needed"},
		{"--from 192.0.2.1", "--to is needed"},
		{"--from host --to 192.0.2.1", `"host" is not the address of a host`},
		{"--from 0.0.0.0 --to 192.0.2.1", "is not the address of a host"},
		{"--from ../x@192.0.2.2 --to 192.0.2.1", "is not a name"},
		{"--from a@192.0.2.2 --to a@192.0.2.1", "are the same"},
		{"--from 192.0.2.2 --to 2001:db8::1", "different families"},
		{"--from 192.0.2.2 --to 192.0.2.1 --my-net 10.0.0.1/8", "is not a network"},
		{"--from 192.0.2.2 --to 192.0.2.1 --mode transport --my-net 10.0.0.0/8", "networks need --mode tunnel"},
		{"--from 192.0.2.2 --to 192.0.2.1 --my-net fd00::/64", "no network"},
		{"--from 192.0.2.2 --to 192.0.2.1 --mode beet", "--mode is tunnel or transport"},
		{"--from 192.0.2.2 --to 192.0.2.1 --auth none", "--auth is psk, kink or cert"},
		{"--from a@192.0.2.2 --to b@192.0.2.1 --auth kink", "needs the realm"},
		{"--from a@192.0.2.2 --to b@192.0.2.1 --auth kink --realm A;B", "needs the realm"},
		{"--from a@192.0.2.2 --to b@192.0.2.1 --realm EXAMPLE.ORG", "--realm needs --auth kink"},
		{"--from a@192.0.2.2 --to 192.0.2.1 --auth kink --realm EXAMPLE.ORG", "a name for each end"},
	} {
		status, _, stderr := run(append([]string{"config", "new", "--out", dir}, strings.Fields(test.args)...)...)
		if status != 2 || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: status %d, %q; want %q", test.args, status, stderr, test.stderr)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("something was written: %v, %v", entries, err)
	}
}

func TestConfigNewAsks(t *testing.T) {
	var f newFlags
	var out strings.Builder
	f.ask(bufio.NewReader(strings.NewReader("a@192.0.2.1\nb@192.0.2.2\nkink\nEXAMPLE.ORG\n10.1.0.0/24 10.3.0.0/24\n\n")), &out)
	if f.auth != "kink" || f.realm != "EXAMPLE.ORG" || f.from != "a@192.0.2.1" || f.to != "b@192.0.2.2" || len(f.myNets) != 2 || len(f.peerNets) != 0 || !strings.Contains(out.String(), "This end") {
		t.Errorf("%+v, %q", f, out.String())
	}
	f = newFlags{from: "x", to: "y"}
	out.Reset()
	if f.ask(bufio.NewReader(strings.NewReader("")), &out); out.String() != "" {
		t.Errorf("asks %q though nothing is missing", out.String())
	}
}

// TestConfigNewCert makes a pair with certificates: check finds nothing wrong
// with them but that this version does not use them.
func TestConfigNewCert(t *testing.T) {
	dir := t.TempDir()
	status, stdout, stderr := run("config", "new", "--out", dir, "--auth", "cert", "--from", "osaka.example.org@192.0.2.2", "--to", "2001:db8::1", "--my-net", "10.0.0.0/8")
	if status != 2 || !strings.Contains(stderr, "families") {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	status, stdout, stderr = run("config", "new", "--out", dir, "--auth", "cert", "--from", "osaka.example.org@192.0.2.2", "--to", "192.0.2.1")
	if status != 0 || !strings.Contains(stderr, "cannot authenticate with certificates yet") {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	for _, path := range strings.Fields(stdout) {
		if config.CheckSecretFile(path) != nil {
			t.Errorf("%s: %v", path, config.CheckSecretFile(path))
		}
	}
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(filepath.Join(dir, "ca", "cert.pem")); err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	for _, end := range []struct{ name, host string }{{"osaka.example.org", "osaka.example.org"}, {"osaka.example.org", "192.0.2.2"}, {"192.0.2.1", "192.0.2.1"}} {
		data, err := os.ReadFile(filepath.Join(dir, end.name, "certs", end.name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: end.host, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("%s: %v", end.host, err)
		}
	}
	for _, end := range []string{"osaka.example.org", "192.0.2.1"} {
		findings := agent.Check(filepath.Join(dir, end, "racoon2.conf"), agent.CheckOptions{})
		said := map[string]bool{}
		for _, f := range findings {
			said[f.Code] = true
		}
		if findings.HasErrors() || !said["left-out"] || said["certificate-identity"] || said["certificate-file"] || said["key-file"] || said["key-mismatch"] || said["certificate-key-type"] {
			t.Errorf("%s: %v", end, findings)
		}
	}
}

// TestConfigNewKINK makes a pair for Kerberos and tells what the KDC has to know.
func TestConfigNewKINK(t *testing.T) {
	dir := t.TempDir()
	status, stdout, stderr := run("config", "new", "--out", dir, "--auth", "kink", "--realm", "EXAMPLE.ORG",
		"--from", "osaka.example.org@192.0.2.2", "--to", "tokyo.example.org@192.0.2.1", "--place", "/etc/racoon2")
	if status != 0 || strings.Count(stdout, "\n") != 2 {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	for _, want := range []string{
		"kadmin -q 'addprinc -randkey kink/osaka.example.org@EXAMPLE.ORG'",
		"kadmin -q 'ktadd -k " + dir + "/tokyo.example.org/keytab kink/tokyo.example.org@EXAMPLE.ORG'",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("lacks %q: %s", want, stderr)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "osaka.example.org", "racoon2.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"acceptable_kmp kink;", `my_principal "kink/osaka.example.org@EXAMPLE.ORG";`,
		`peers_principal "kink/tokyo.example.org@EXAMPLE.ORG";`, `keytab "/etc/racoon2/keytab";`, "peers_ipaddr 192.0.2.1;",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	// What check finds is the keytab's absence, and what krb5.conf lacks here.
	for _, f := range agent.Check(filepath.Join(dir, "osaka.example.org", "racoon2.conf"), agent.CheckOptions{}) {
		if f.Code != "keytab" && f.Code != "krb5-conf" {
			t.Errorf("%v", f)
		}
	}
}

func TestPSKGenerate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "psk", "tokyo")
	if status, stdout, stderr := run("psk", "generate", file); status != 0 || stdout+stderr != "" {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	key, err := os.ReadFile(file)
	if err != nil || len(key) != 44 || config.CheckSecretFile(file) != nil {
		t.Errorf("%d octets, %v", len(key), err)
	}
	if status, _, stderr := run("psk", "generate", file); status != 1 || !strings.Contains(stderr, "is there already") {
		t.Errorf("overwriting: status %d, %q", status, stderr)
	}
	status, hex, _ := run("psk", "generate", "--format", "hex")
	if status != 0 || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		t.Errorf("status %d, %d characters", status, len(hex))
	}
	for args, want := range map[string]string{"psk generate --format octal": "--format is base64 or hex", "psk": "needs a further word", "config": "needs a further word"} {
		if status, _, stderr := run(strings.Fields(args)...); status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, %q", args, status, stderr)
		}
	}
}
