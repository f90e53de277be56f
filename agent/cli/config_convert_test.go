package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"racoon2/agent"
	"racoon2/config"
)

const oldRacoon = `path pre_shared_key "psk.txt";
include "more.conf";
sainfo anonymous { lifetime time 1 hour; encryption_algorithm aes; authentication_algorithm hmac_sha256; compression_algorithm deflate; }
`

const oldRemote = `remote 127.0.0.2 {
	exchange_mode main;
	my_identifier fqdn "a.example";
	proposal { encryption_algorithm aes 256; hash_algorithm sha256; authentication_method pre_shared_key; dh_group 14; }
}
`

const oldSetkey = `spdadd 10.1.0.0/24 10.2.0.0/24 any -P out ipsec esp/tunnel/127.0.0.1-127.0.0.2/require;
spdadd 10.2.0.0/24 10.1.0.0/24 any -P in ipsec esp/tunnel/127.0.0.2-127.0.0.1/require;
`

func TestConfigConvert(t *testing.T) {
	dir := t.TempDir()
	conf := write(t, dir, "racoon.conf", oldRacoon)
	write(t, dir, "more.conf", oldRemote)
	setkey, psk := write(t, dir, "setkey.conf", oldSetkey), write(t, dir, "psk.txt", "127.0.0.2 open sesame\n")
	out := filepath.Join(dir, "out")
	args := []string{"config", "convert", conf, "--setkey", setkey, "--psk", psk}

	status, stdout, stderr := run(append(args, "--out", out)...)
	if status != 0 || stdout != "" || !strings.Contains(stderr, "1 key files") || strings.Contains(stderr, "sesame") {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	if key, err := os.ReadFile(filepath.Join(out, "psk", "127.0.0.2")); err != nil || string(key) != "open sesame" {
		t.Errorf("key %q, %v", key, err)
	}
	if f := agent.Check(filepath.Join(out, "racoon2.conf"), agent.CheckOptions{}); f.HasErrors() || f.Count(config.Warning) > 0 {
		t.Errorf("the result has findings: %v", f)
	}
	if status, _, stderr = run(append(args, "--out", out)...); status != 1 || !strings.Contains(stderr, "is there already") {
		t.Errorf("overwriting: status %d, %q", status, stderr)
	}

	status, stdout, stderr = run(args...)
	if status != 0 || !strings.Contains(stdout, `pre_shared_key "/etc/racoon2/psk/127.0.0.2"`) || !strings.Contains(stderr, "give --out") {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	status, stdout, _ = run(append(args, "--json")...)
	var got convertedJSON
	if err := json.Unmarshal([]byte(stdout), &struct {
		Config *string `json:"config"`
		Report *[]noteJSON
	}{&got.Config, &got.Report}); err != nil || status != 0 || got.Config == "" || len(got.Report) == 0 {
		t.Errorf("status %d, %v, %q", status, err, stdout)
	}
	if strings.Contains(stdout, "sesame") {
		t.Error("a key is on standard output")
	}
}

// TestConfigConvertFails holds what misuse and bad files are answered with.
func TestConfigConvertFails(t *testing.T) {
	dir := t.TempDir()
	broken := write(t, dir, "broken.conf", "remote anonymous {\n")
	cut := write(t, dir, "cut.conf", "include \"none.conf\";\n")
	aggressive := write(t, dir, "aggressive.conf", "remote 192.0.2.1 { exchange_mode aggressive; }\n")
	swan := write(t, dir, "swanctl.conf", "connections {\n x { remote_addrs = 192.0.2.1\n local { auth = psk }\n remote { auth = psk } }\n}\n")
	for _, test := range []struct {
		args   string
		status int
		stderr string
	}{
		{"", 2, "accepts 1 arg"},
		{broken + " --from sendmail", 2, "--from is racoon, swanctl or ipsec"},
		{swan + " --from swanctl --psk x", 2, "secrets section"},
		{swan + " --from ipsec --setkey x", 2, "--setkey belongs to a racoon.conf"},
		{filepath.Join(dir, "none"), 2, "no such file"},
		{broken, 2, "broken.conf:1:1: the block has no closing brace"},
		{cut, 2, "none.conf: there is no such file"},
		{aggressive, 1, "left out: exchange_mode aggressive"},
		{swan + " --from swanctl", 1, "the key of remote x is not known"},
		{swan + " --from ipsec", 2, "no heading of ipsec.conf"},
	} {
		status, _, stderr := run(strings.Fields("config convert " + test.args)...)
		if status != test.status || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: status %d, %q; want %d, %q", test.args, status, stderr, test.status, test.stderr)
		}
	}
}
