package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	t "racoon2/ikev2/transform"
)

// one loads a configuration that is one file in memory.
func one(tb testing.TB, text string) (*Config, Findings) {
	tb.Helper()
	return Load("racoon2.conf", Options{FS: Files{"racoon2.conf": text}, LookupEnv: noEnv})
}

func noEnv(string) (string, bool) { return "", false }

// clean loads a configuration that must have no errors.
func clean(tb testing.TB, text string) (*Config, Findings) {
	tb.Helper()
	c, fs := one(tb, text)
	if fs.HasErrors() {
		tb.Fatalf("errors in a good configuration:\n%s", report(fs))
	}
	return c, fs
}

func report(fs Findings) string {
	var b strings.Builder
	_ = fs.WriteText(&b)
	return b.String()
}

const minimal = `
remote peer {
	ikev2 {
		my_id fqdn "a.example.org";
		peers_id fqdn "b.example.org";
		peers_ipaddr 192.0.2.2;
		pre_shared_key "/etc/racoon2/psk";
	};
};
selector out { direction outbound; src 10.0.1.0/24; dst 10.0.2.0/24; policy_index tunnel; };
selector in { direction inbound; src 10.0.2.0/24; dst 10.0.1.0/24; policy_index tunnel; };
policy tunnel { remote_index peer; };
`

func TestMinimal(tt *testing.T) {
	c, fs := clean(tt, minimal)
	if len(fs) != 0 {
		tt.Errorf("findings:\n%s", report(fs))
	}
	r := c.Remote("peer")
	if r == nil || r.Disabled || len(r.AcceptableKMP) != 1 || r.AcceptableKMP[0] != KMPIKEv2 {
		tt.Fatalf("remote: %+v", r)
	}
	k := r.IKEv2
	if k.PreSharedKey != "/etc/racoon2/psk" || k.MyID[0].Value != "a.example.org" || k.PeersIPAddr[0].Addr.String() != "192.0.2.2" {
		tt.Errorf("ikev2: %+v", k)
	}
	if k.Lifetime != 24*time.Hour || k.NonceSize != 32 || k.NATTraversal != NATOn || !k.VerifyID {
		tt.Errorf("built-in values: %+v", k.Common)
	}
	if len(k.Proposals) != 2 || k.Proposals[0].Encr[0] != (Encryption{t.ENCR_AES_GCM_16, 256}) || k.Proposals[0].Integ != nil ||
		len(k.Proposals[1].Integ) != 3 || k.Proposals[0].KE[0] != t.KE_CURVE25519 {
		tt.Errorf("proposals: %+v", k.Proposals)
	}
	p := c.Policy("tunnel")
	if p.Remote != r || p.Mode != ModeTunnel || p.Action != ActionAutoIPsec || p.Level != LevelRequire || !p.Install {
		tt.Errorf("policy: %+v", p)
	}
	if p.PeersSAIPAddr == nil || p.PeersSAIPAddr.Addr.String() != "192.0.2.2" || p.MySAIPAddr != nil {
		tt.Errorf("end points: %v %v", p.MySAIPAddr, p.PeersSAIPAddr)
	}
	if len(p.IPsecs) != 1 || p.IPsecs[0].Lifetime != time.Hour || len(p.IPsecs[0].SAs) != 1 || len(p.IPsecs[0].SAs[0].Proposals) != 2 {
		tt.Errorf("built-in ipsec: %+v", p.IPsecs)
	}
	pairs := c.Pairs()
	if len(pairs) != 1 || pairs[0].Outbound != c.Selector("out") || pairs[0].Inbound != c.Selector("in") {
		tt.Errorf("pairs: %+v", pairs)
	}
	i := c.Interface
	if !i.Default || len(i.IKE) != 2 || i.IKE[0].Port != 500 || i.IKE[1].Port != 4500 || !i.ApplicationBypass {
		tt.Errorf("interface: %+v", i)
	}
}

// samples fills a directory with the original's sample files; extra is
// appended to racoon2.conf as its commented include lines would be.
func samples(tb testing.TB, includes ...string) string {
	tb.Helper()
	prefix := tb.TempDir()
	dir := filepath.Join(prefix, "etc", "racoon2")
	for _, d := range []string{"psk", "cert", "hook"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	files, err := filepath.Glob("../testdata/racoon2/*.conf")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no samples: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			tb.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "@prefix@", prefix)
		if filepath.Base(f) == "racoon2.conf" {
			for _, name := range includes {
				text += "include \"" + filepath.Join(dir, name) + "\";\n"
			}
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	for _, psk := range []string{"test.psk", "wildcard.psk"} {
		if err := os.WriteFile(filepath.Join(dir, "psk", psk), []byte("secret"), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return filepath.Join(dir, "racoon2.conf")
}

func TestSamples(tt *testing.T) {
	for _, name := range []string{"", "tunnel_ike.conf", "transport_ike.conf", "tunnel_ike_natt.conf", "transport_kink.conf", "local-test.conf"} {
		tt.Run(name, func(tt *testing.T) {
			var includes []string
			if name != "" {
				includes = append(includes, name)
			}
			c, fs := Load(samples(tt, includes...), Options{})
			if fs.HasErrors() {
				tt.Fatalf("findings:\n%s", report(fs))
			}
			if r := c.Remote("192.168.2.67"); r == nil || !r.Disabled || r.Reason != "IKEv1 is not built" {
				tt.Errorf("the IKEv1 remote: %+v", r)
			}
		})
	}
}
