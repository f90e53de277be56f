package agent

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/config"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/kink/kerberos"
)

// kinkHost is the host that KINK is compiled on in these tests.
func kinkHost(o *CompileOptions) {
	o.KINK = KINKOptions{
		Host: func() string { return "me.example.com" },
		NamesOf: func(a netip.Addr) []string {
			if a == netip.MustParseAddr("192.0.2.2") {
				return []string{"Peer.example.org.", "alias"}
			}
			return nil
		},
		Krb5Conf: func(path string) (*kerberos.Krb5Conf, error) {
			if path == "/missing" {
				return nil, errors.New("no such file")
			}
			return kerberos.ParseKrb5Conf([]byte("[libdefaults]\ndefault_realm = EXAMPLE.COM\n[domain_realm]\n.example.org = EXAMPLE.ORG\n"))
		},
		Keytab: func(path string) error {
			if path == "/open" {
				return errors.New("it is open to others")
			}
			return nil
		},
	}
}

// hostToHost is a transport policy with a peer at 192.0.2.2; %k is the block.
const hostToHost = `
remote peer { kink { %k }; };
selector out { direction outbound; src 192.0.2.1; dst 192.0.2.2; upper_layer_protocol tcp; policy_index p; };
selector in { direction inbound; src 192.0.2.2; dst 192.0.2.1; upper_layer_protocol tcp; policy_index p; };
policy p { action auto_ipsec; remote_index peer; ipsec_mode transport; ipsec_index esp; };
ipsec esp { ipsec_sa_lifetime_time 30 min; replay_window 256; sa_index esp; };
sa esp { sa_protocol esp; esp_enc_alg { aes_gcm,256; aes128_cbc; }; esp_auth_alg { hmac_sha2_256; }; };
`

func withKINK(block string) string { return strings.Replace(hostToHost, "%k", block, 1) }

func TestCompileKINK(t *testing.T) {
	c := mustCompile(t, withKINK(`my_principal "kink/a.example.org"; peers_principal "kink/b@EXAMPLE.COM"; keytab "/keytab"; ccache "/cc";
		krb5_conf "/krb5.conf"; enctypes { aes256-cts-hmac-sha384-192; aes128-cts; }; aes_sha1_prf 16; user_to_user require; three_way on;
		peers_ipaddr { 192.0.2.2; 192.0.2.3 port 1910; }; nonce_size 16; max_retry_to_send 3; interval_to_send 2; kmp_sa_grace_period 5;
		dpd_delay 7; kmp_dh_group { modp2048; }; passive on;`), kinkHost)
	if c.KINK.Port != 910 || len(c.KINK.Remotes) != 1 || len(c.Realms) != 1 {
		t.Fatalf("%+v, %d realms", c.KINK, len(c.Realms))
	}
	got := *c.KINK.Remotes[0]
	children := got.Children
	got.Children = nil
	want := kink.Remote{
		Name: "peer", Where: "racoon2.conf:2", Passive: true,
		Peers:       []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:0"), netip.MustParseAddrPort("192.0.2.3:1910")},
		MyPrincipal: "kink/a.example.org@EXAMPLE.ORG", PeerPrincipals: []string{"kink/b@EXAMPLE.COM"},
		UserToUser: true, RequireUserToUser: true, ThreeWay: true, NonceSize: 16,
		Retry: kink.Retransmission{First: 2 * time.Second, Tries: 3}, Grace: 5 * time.Second, DPDDelay: 7 * time.Second,
	}
	equal(t, "remote", got, want)
	child := *children[0]
	if len(children) != 1 || len(child.Proposals) != 2 || child.Proposals[0].Encr[0].ID != transform.ENCR_AES_GCM_16 ||
		len(child.Proposals[1].Integ) != 1 || child.Replay != 256 || child.Lifetime.Time != 30*time.Minute {
		t.Errorf("child %+v", child)
	}
	child.Proposals, child.ReqID = nil, 0
	equal(t, "child", child, kink.Child{
		Name: "out", Inbound: "in", Where: "racoon2.conf:6", Mode: kernel.Transport, Level: kernel.Require, Replay: 256,
		Outbound: []kernel.Selector{{
			Src: netip.MustParsePrefix("192.0.2.1/32"), Dst: netip.MustParsePrefix("192.0.2.2/32"), Proto: 6,
			SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
		}},
		KE: []transform.KE{transform.KE_MODP_2048}, KEOptional: true, Lifetime: kernel.Lifetime{Time: 30 * time.Minute},
	})
	r := *c.Realms[0]
	r.Conf = nil
	equal(t, "realm", r, Realm{
		Principals: []string{want.MyPrincipal}, Keytab: "/keytab", CCache: "/cc", PRF16: true,
		ETypes: []kerberos.EType{kerberos.AES256_CTS_HMAC_SHA384_192, kerberos.AES128_CTS_HMAC_SHA1_96},
	})
	for _, s := range c.Policy.Selectors {
		if !slices.Equal(s.Engines, []kernel.EngineID{kernel.KINK}) || s.Remote != "peer" || s.Child != "out" {
			t.Errorf("selector %+v", s)
		}
	}
}

// Who may have the traffic of a selector: peers_principal, or the names in its
// destination, or those of /etc/hosts.
func TestCompileKINKPrincipals(t *testing.T) {
	for name, test := range map[string]struct {
		block, dst, want string
	}{
		"written":           {`peers_principal "kink/b@X";`, "192.0.2.2", "kink/b@X"},
		"the realm is left": {`peers_principal "kink/b.example.org";`, "192.0.2.2", "kink/b.example.org@EXAMPLE.ORG"},
		"the hosts file":    {"", "192.0.2.2", "kink/peer.example.org@EXAMPLE.ORG"},
		"a name":            {"", "WWW.example.org", "kink/www.example.org@EXAMPLE.ORG"},
		"a domain":          {"", "*.example.com", "kink/*.example.com@EXAMPLE.COM"},
		"two names":         {"", "{ www.example.org; www.example.com; }", "kink/www.example.org@EXAMPLE.ORG kink/www.example.com@EXAMPLE.COM"},
		"nobody":            {"", "192.0.2.9", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(withKINK(test.block), "192.0.2.2;", test.dst+";") + "resolver { resolver on; nameserver 127.0.0.1; };"
			c, findings := compileText(t, text, kinkHost)
			if test.want == "" {
				if c != nil || !strings.Contains(report(findings), "no-principal") {
					t.Errorf("compiled; findings:\n%s", report(findings))
				}
				return
			}
			if c == nil {
				t.Fatal(report(findings))
			}
			if got := strings.Join(c.KINK.Remotes[0].PeerPrincipals, " "); got != test.want {
				t.Errorf("principals %s, want %s", got, test.want)
			}
			if got := c.KINK.Remotes[0].MyPrincipal; got != "kink/me.example.com@EXAMPLE.COM" || !c.KINK.Remotes[0].AnyPeer {
				t.Errorf("this host is %s, any peer: %v", got, c.KINK.Remotes[0].AnyPeer)
			}
		})
	}
}

// A remote without peers_principal has a part for each of the principals that its
// selectors name, so that none of them gets the traffic of another.
func TestCompileKINKParts(t *testing.T) {
	c := mustCompile(t, strings.Replace(withKINK(""), "policy p {", `
selector out2 { direction outbound; src 192.0.2.1; dst b.example.org; policy_index p; };
selector in2 { direction inbound; src b.example.org; dst 192.0.2.1; policy_index p; };
policy p {`, 1)+"resolver { resolver on; nameserver 127.0.0.1; };", kinkHost)
	if len(c.KINK.Remotes) != 2 {
		t.Fatalf("%d remotes", len(c.KINK.Remotes))
	}
	for i, want := range []string{"kink/peer.example.org@EXAMPLE.ORG out", "kink/b.example.org@EXAMPLE.ORG out2"} {
		r := c.KINK.Remotes[i]
		if got := r.PeerPrincipals[0] + " " + r.Children[0].Name; r.Name != "peer" || len(r.Children) != 1 || got != want {
			t.Errorf("%s: %s, want %s", r.Name, got, want)
		}
	}
}

func TestCompileKINKFindings(t *testing.T) {
	const other = `remote other { kink { my_principal "kink/a@X"; peers_principal "kink/c@X"; keytab "/other"; }; };`
	for name, test := range map[string]struct {
		text string
		want string
		fit  bool
	}{
		"malformed":      {withKINK(`my_principal "kink/a@X@Y"; peers_principal "kink/b@X";`), "bad-principal", false},
		"own":            {withKINK(`my_principal "kink/b@X"; peers_principal "kink/b@X";`), "own-principal", false},
		"two keytabs":    {withKINK(`my_principal "kink/a@X"; peers_principal "kink/b@X"; keytab "/k";`) + other, "two-keytabs", false},
		"open keytab":    {withKINK(`my_principal "kink/a@X"; peers_principal "kink/b@X"; keytab "/open";`), "2:75: warning: keytab /open", true},
		"no krb5.conf":   {withKINK(`my_principal "kink/a@X"; peers_principal "kink/b@X"; krb5_conf "/missing";`), "2:75: warning: the configuration of Kerberos", true},
		"kinkd's port":   {withKINK(`my_principal "kink/a@X"; peers_principal "kink/b@X";`) + "interface { ike { MY_IP port 500; MY_IP port 4500; }; kink { MY_IP port 500; }; };", "kink-port", false},
		"a weak enctype": {withKINK(`my_principal "kink/a@X"; peers_principal "kink/b@X"; enctypes rc4-hmac;`), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			c, findings := compileText(t, test.text, kinkHost)
			if (c != nil) != test.fit || !strings.Contains(report(findings), test.want) {
				t.Errorf("compiled: %v, want %v and %q; findings:\n%s", c != nil, test.fit, test.want, report(findings))
			}
		})
	}
}

// The order of acceptable_kmp is the order in which engines are asked.
func TestCompileKINKOrder(t *testing.T) {
	for words, want := range map[string][]kernel.EngineID{
		"kink; ikev2;": {kernel.KINK, kernel.IKEv2}, "ikev2; kink;": {kernel.IKEv2, kernel.KINK}, "ikev2;": {kernel.IKEv2},
	} {
		text := strings.Replace(withKINK(`my_principal "kink/a@X"; peers_principal "kink/b@X";`), "remote peer {",
			`remote peer { acceptable_kmp { `+words+` }; ikev2 { my_id fqdn "a"; peers_id fqdn "b"; peers_ipaddr 192.0.2.2; pre_shared_key "/psk"; };`, 1)
		if c := mustCompile(t, text, kinkHost); !slices.Equal(c.Policy.Selectors[0].Engines, want) {
			t.Errorf("%s: %v", words, c.Policy.Selectors[0].Engines)
		}
	}
}

// The sample of the original loads without a word about KINK.
func TestCompileKINKSample(t *testing.T) {
	files := config.Files{}
	names, err := filepath.Glob("../testdata/racoon2/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files["/etc/racoon2/"+filepath.Base(name)] = strings.ReplaceAll(string(data), "@prefix@", "")
	}
	files["/etc/racoon2/racoon2.conf"] += `include "/etc/racoon2/transport_kink.conf";`
	cfg, findings := config.Load("/etc/racoon2/racoon2.conf", config.Options{FS: files})
	if findings.HasErrors() {
		t.Fatal(report(findings))
	}
	o := CompileOptions{Interfaces: testHost, ReadSecret: secretOf}
	kinkHost(&o)
	c, more := Compile(cfg, o)
	if c == nil || len(c.KINK.Remotes) != 1 || c.KINK.Remotes[0].PeerPrincipals[0] != "kink/peersname.example.com@EXAMPLE.COM" {
		t.Fatalf("%+v\n%s", c, report(more))
	}
	for _, f := range append(findings, more...) {
		if strings.Contains(f.Pos.File, "kink") && f.Code != "no-effect" || strings.Contains(strings.ToLower(f.Text), "kink is not") {
			t.Error(f)
		}
	}
}

// The configuration of "KINK in ten minutes" is one that can be used.
func TestTenMinutes(t *testing.T) {
	page, err := os.ReadFile("../kink/TEN-MINUTES.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "On a (on b with the sides exchanged):\n")
	if text, _, _ = strings.Cut(text, "What may be left out"); !ok || !strings.Contains(text, "remote b {") {
		t.Fatal("the page has no configuration")
	}
	c, findings := compileText(t, text, kinkHost)
	if c == nil || len(findings) > 0 || len(c.KINK.Remotes) != 1 || len(c.KINK.Remotes[0].Children) != 1 {
		t.Errorf("%+v\n%s", c, report(findings))
	}
	for _, line := range []string{
		"kmp_dh_group { ecp256; modp2048; }; need_pfs on;", "user_to_user on; ccache \"/cc\";", "three_way on;",
		"enctypes { aes256-cts-hmac-sha1-96; };", "aes_sha1_prf 16;",
	} {
		mustCompile(t, strings.Replace(text, "keytab ", line+" keytab ", 1), kinkHost)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is\n%+v, want\n%+v", what, got, want)
	}
}

func report(findings config.Findings) string {
	var b strings.Builder
	_ = findings.WriteText(&b)
	return b.String()
}
