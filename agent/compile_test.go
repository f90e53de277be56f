package agent

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/policy"
)

// testHost has the addresses that the macros of these tests stand for.
var testHost = []policy.Interface{
	{Name: "lo", Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}},
	{Name: "eth0", Addrs: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("fe80::1/64"),
	}},
}

// secrets stand for the key files of these tests.
func secretOf(path string) ([]byte, error) {
	switch path {
	case "/psk":
		return []byte("secret"), nil
	case "/newline":
		return []byte("secret\n"), nil
	case "/empty":
		return nil, nil
	}
	return nil, errors.New("its mode is 0644")
}

// compileText loads and compiles a configuration from memory.
func compileText(t *testing.T, text string, change func(*CompileOptions)) (*Compiled, config.Findings) {
	t.Helper()
	cfg, findings := config.Load("/racoon2.conf", config.Options{FS: config.Files{"/racoon2.conf": text}})
	if findings.HasErrors() {
		var b strings.Builder
		_ = findings.WriteText(&b)
		t.Fatalf("the configuration does not load:\n%s", b.String())
	}
	o := CompileOptions{Interfaces: testHost, ReadSecret: secretOf}
	if change != nil {
		change(&o)
	}
	return Compile(cfg, o)
}

func mustCompile(t *testing.T, text string, change func(*CompileOptions)) *Compiled {
	t.Helper()
	c, findings := compileText(t, text, change)
	if c == nil {
		t.Fatalf("does not compile: %v", findings)
	}
	return c
}

// siteToSite is a tunnel with everything said.
const siteToSite = `
remote tokyo {
	acceptable_kmp { ikev2; };
	ikev2 {
		my_id fqdn "a.example";
		peers_id { fqdn "b.example"; email "b@example"; keyid tag "key"; ipaddr 192.0.2.2; ipaddr 2001:db8::2; };
		peers_ipaddr 192.0.2.2 port 1500;
		pre_shared_key "/psk";
		kmp_enc_alg { aes256_cbc; };
		kmp_prf_alg { hmac_sha2_256; };
		kmp_hash_alg { hmac_sha2_256; };
		kmp_dh_group { modp3072; ecp256; };
		kmp_sa_lifetime_time 1 hour;
		kmp_sa_nego_time_limit 40 sec;
		kmp_sa_grace_period 50 sec;
		dpd_delay 60 sec;
		interval_to_send 3 sec;
		max_retry_to_send 4;
		times_per_send 2;
		nonce_size 64;
		cookie_required on;
		send_peers_id on;
		need_pfs on;
		passive on;
	};
};
selector out { direction outbound; src 10.1.0.0/16; dst 10.2.0.0/16; upper_layer_protocol tcp; reqid 77; order 5; policy_index p; };
selector in { direction inbound; src 10.2.0.0/16; dst 10.1.0.0/16; upper_layer_protocol tcp; policy_index p; };
selector drop { direction outbound; src 192.0.2.1; dst 192.0.2.9; policy_index no; };
selector clear { direction inbound; src 192.0.2.8; dst 192.0.2.1; policy_index yes; };
policy p {
	action auto_ipsec; remote_index tokyo; ipsec_mode tunnel; ipsec_level unique; ipsec_index esp;
	my_sa_ipaddr 192.0.2.1; peers_sa_ipaddr 192.0.2.2;
};
policy no { action discard; };
policy yes { action none; };
ipsec esp { ipsec_sa_lifetime_time 30 min; ipsec_sa_lifetime_byte 1 GB; ext_sequence on; sa_index esp; };
sa esp { sa_protocol esp; esp_enc_alg { aes_gcm,256; }; };
`

func TestCompileRemote(t *testing.T) {
	c := mustCompile(t, siteToSite, nil)
	if c.IKEv2.IKEPort != 500 || c.IKEv2.NATPort != 4500 || c.IKEv2.CookieThreshold != cookieThreshold || len(c.IKEv2.Remotes) != 1 {
		t.Errorf("settings: %+v", c.IKEv2)
	}
	got := *c.IKEv2.Remotes[0]
	children := got.Children
	got.Children = nil
	want := ikev2.Remote{
		Name: "tokyo", Where: "racoon2.conf:2", Passive: true,
		Peers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:1500")},
		MyID:  ikev2.Identity{Type: message.ID_FQDN, Data: []byte("a.example")},
		PeerIDs: []ikev2.Identity{
			{Type: message.ID_FQDN, Data: []byte("b.example")},
			{Type: message.ID_RFC822_ADDR, Data: []byte("b@example")},
			{Type: message.ID_KEY_ID, Data: []byte("key")},
			{Type: message.ID_IPV4_ADDR, Data: []byte{192, 0, 2, 2}},
			{Type: message.ID_IPV6_ADDR, Data: netip.MustParseAddr("2001:db8::2").AsSlice()},
		},
		VerifyID: true, SendIDr: true, SharedKey: []byte("secret"),
		Proposals: []ikev2.IKEProposal{{
			Encr: []ikev2.Encryption{{ID: transform.ENCR_AES_CBC, KeyBits: 256}}, PRF: []transform.PRF{transform.PRF_HMAC_SHA2_256},
			Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}, KE: []transform.KE{transform.KE_MODP_3072, transform.KE_ECP_256},
		}},
		NATTraversal: true, CookieRequired: true, Fragmentation: true, NonceSize: 64, Window: 1,
		Retry:    ikev2.Retransmission{First: 3 * time.Second, Tries: 4, Copies: 2},
		Lifetime: time.Hour, SetupTimeout: 40 * time.Second, Grace: 50 * time.Second, DPDDelay: time.Minute,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("remote:\n%+v\nwant\n%+v", got, want)
	}
	if len(children) != 1 {
		t.Fatalf("%d children", len(children))
	}
	wantChild := ikev2.Child{
		Name: "out", Inbound: "in", Where: "racoon2.conf:27",
		Outbound: []kernel.Selector{{
			Src: netip.MustParsePrefix("10.1.0.0/16"), Dst: netip.MustParsePrefix("10.2.0.0/16"), Proto: 6,
			SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
		}},
		Mode: kernel.Tunnel, Level: kernel.Unique, ReqID: 77,
		MyEnd: netip.MustParseAddr("192.0.2.1"), PeerEnd: netip.MustParseAddr("192.0.2.2"),
		Proposals: []ikev2.ChildProposal{{
			Protocol: kernel.ESP, Encr: []ikev2.Encryption{{ID: transform.ENCR_AES_GCM_16, KeyBits: 256}},
			KE: []transform.KE{transform.KE_MODP_3072, transform.KE_ECP_256},
			SN: []transform.SN{transform.SN_EXTENDED, transform.SN_32BIT},
		}},
		Lifetime: kernel.Lifetime{Time: 30 * time.Minute, Bytes: 1 << 30}, Replay: 128,
	}
	if !reflect.DeepEqual(*children[0], wantChild) {
		t.Errorf("child:\n%+v\nwant\n%+v", *children[0], wantChild)
	}
}

func TestCompilePolicies(t *testing.T) {
	c := mustCompile(t, siteToSite, nil)
	prefix := func(p string) []policy.Address { return []policy.Address{{Prefix: netip.MustParsePrefix(p)}} }
	protect := policy.Selector{
		Where: "racoon2.conf:27", Install: true, Proto: 6, SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
		Action: kernel.Protect, Remote: "tokyo", Engines: []kernel.EngineID{kernel.IKEv2}, Child: "out",
		Bundle: []kernel.Protocol{kernel.ESP}, Mode: kernel.Tunnel, Level: kernel.Unique, ReqID: 77,
		MyEnd: policy.End{Addr: netip.MustParseAddr("192.0.2.1")}, PeerEnd: []policy.End{{Addr: netip.MustParseAddr("192.0.2.2")}},
	}
	out, in := protect, protect
	out.Name, out.Direction, out.Order = "out", kernel.Out, 5
	out.Src, out.Dst = prefix("10.1.0.0/16"), prefix("10.2.0.0/16")
	in.Name, in.Direction, in.Where = "in", kernel.In, "racoon2.conf:28"
	in.Src, in.Dst = prefix("10.2.0.0/16"), prefix("10.1.0.0/16")
	plain := policy.Selector{Install: true, SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}
	drop, bypass := plain, plain
	drop.Name, drop.Where, drop.Direction, drop.Action = "drop", "racoon2.conf:29", kernel.Out, kernel.Discard
	drop.Src, drop.Dst = prefix("192.0.2.1/32"), prefix("192.0.2.9/32")
	bypass.Name, bypass.Where, bypass.Direction, bypass.Action = "clear", "racoon2.conf:30", kernel.In, kernel.Bypass
	bypass.Src, bypass.Dst = prefix("192.0.2.8/32"), prefix("192.0.2.1/32")
	want := []policy.Selector{out, in, drop, bypass}
	if len(c.Policy.Selectors) != len(want) {
		t.Fatalf("%d selectors", len(c.Policy.Selectors))
	}
	for i, s := range c.Policy.Selectors {
		if !reflect.DeepEqual(*s, want[i]) {
			t.Errorf("selector\n%+v\nwant\n%+v", *s, want[i])
		}
	}
}

// A policy that ought to protect and cannot, because its remote speaks nothing
// that is built, blocks its traffic instead of letting it pass in clear.
func TestUnusablePolicyBlocks(t *testing.T) {
	text := strings.Replace(ikev1Only, "LEVEL", "require", 1)
	c, findings := compileText(t, text, nil)
	if c == nil || len(c.Policy.Selectors) != 2 {
		t.Fatalf("%+v, findings %v", c, findings)
	}
	for _, s := range c.Policy.Selectors {
		if s.Action != kernel.Discard || !s.Install {
			t.Errorf("selector %s is %v", s.Name, s.Action)
		}
	}
	if !slices.ContainsFunc(findings, func(f config.Finding) bool { return f.Code == "blocked" && f.Severity == config.Warning }) {
		t.Errorf("nothing says that traffic is blocked: %v", findings)
	}
	if c := mustCompile(t, strings.Replace(ikev1Only, "LEVEL", "use", 1), nil); len(c.Policy.Selectors) != 0 {
		t.Errorf("a policy of level use blocks: %+v", c.Policy.Selectors[0])
	}
}

const ikev1Only = `
remote old { acceptable_kmp ikev1; ikev1 { my_id ipaddr 192.0.2.1; peers_ipaddr 192.0.2.2; pre_shared_key "/psk"; kmp_enc_alg aes128_cbc; kmp_hash_alg sha1; kmp_dh_group modp2048; kmp_auth_method psk; }; };
selector out { direction outbound; src 192.0.2.1; dst 192.0.2.2; policy_index p; };
selector in { direction inbound; src 192.0.2.2; dst 192.0.2.1; policy_index p; };
policy p { action auto_ipsec; remote_index old; ipsec_mode transport; ipsec_level LEVEL; };
`

// macros is a transport policy between this host, whatever its addresses, and
// any peer.
const macros = `
remote any {
	ikev2 { my_id ipaddr MY_IPV4; peers_id ipaddr IP_ANY; peers_ipaddr IP_RW; pre_shared_key "/psk"; };
};
selector out { direction outbound; src MY_IP port 1701; dst IP_RW; upper_layer_protocol udp; policy_index p; };
selector in { direction inbound; src IP_RW; dst MY_IP port 1701; upper_layer_protocol udp; policy_index p; };
policy p { action auto_ipsec; remote_index any; ipsec_mode transport; };
`

func TestCompileMacros(t *testing.T) {
	c := mustCompile(t, macros, nil)
	r := c.IKEv2.Remotes[0]
	if !r.AnyPeer || len(r.Peers) != 0 {
		t.Errorf("peers: %v, any %v", r.Peers, r.AnyPeer)
	}
	if want := (ikev2.Identity{Type: message.ID_IPV4_ADDR, Data: []byte{192, 0, 2, 1}}); !reflect.DeepEqual(r.MyID, want) {
		t.Errorf("my_id MY_IPV4 is %+v, want %+v", r.MyID, want)
	}
	if !reflect.DeepEqual(r.PeerIDs, []ikev2.Identity{anyAddressID}) || !r.VerifyID {
		t.Errorf("peers_id IP_ANY: %+v", r.PeerIDs)
	}
	child := r.Children[0]
	if !child.Dynamic || child.MyEnd.IsValid() || len(child.Outbound) != 5 {
		t.Errorf("child: %+v", child)
	}
	for _, s := range child.Outbound {
		if s.Src.Addr().Is4() != s.Dst.Addr().Is4() || !s.Src.IsSingleIP() || s.Dst.Bits() != 0 || s.SrcPort != (kernel.PortRange{First: 1701, Last: 1701}) {
			t.Errorf("traffic %v", s)
		}
	}
	if got := c.Policy.Selectors[0].Src; !reflect.DeepEqual(got, []policy.Address{{Macro: "MY_IP"}}) {
		t.Errorf("the policy manager expands macros itself, not %+v", got)
	}
}

func TestCompileFindings(t *testing.T) {
	for _, test := range []struct {
		name     string
		from, to string // what is changed in siteToSite
		kernel   *kernel.Capabilities
		severity config.Severity
		want     string
	}{
		{"open key file", `"/psk"`, `"/open"`, nil, config.Error, "pre_shared_key /open: its mode is 0644"},
		{"empty key file", `"/psk"`, `"/empty"`, nil, config.Error, "pre_shared_key /empty: the file is empty"},
		{"newline in key", `"/psk"`, `"/newline"`, nil, config.Advice, "the newline at the end of the file is part of the key"},
		{"identity of a file that is not there", `fqdn "a.example"`, `keyid file "/no/such/file"`, nil, config.Error, "no such file"},
		{"identity of a missing interface", `fqdn "a.example"`, "ipaddr MY_IPV4%eth9", nil, config.Error, "this host has no such address"},
		{"two reqids", "direction inbound;", "direction inbound; reqid 3;", nil, config.Warning, "both directions use 77"},
		{"kernel without ESN", "", "", &kernel.Capabilities{MaxReplay: 64, Encr: []transform.ENCR{transform.ENCR_AES_GCM_16}}, config.Warning, "no extended sequence numbers"},
		{"kernel without bytes", "", "", &kernel.Capabilities{MaxReplay: 64, ESN: true, Encr: []transform.ENCR{transform.ENCR_AES_GCM_16}}, config.Advice, "does not keep ipsec_sa_lifetime_byte itself"},
		{"kernel without algorithms", "", "", &kernel.Capabilities{}, config.Error, "the kernel can do none of the algorithms of policy \"p\""},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := siteToSite
			if test.from != "" {
				text = strings.Replace(text, test.from, test.to, 1)
			}
			c, findings := compileText(t, text, func(o *CompileOptions) { o.Kernel = test.kernel })
			found := slices.ContainsFunc(findings, func(f config.Finding) bool {
				return f.Severity == test.severity && strings.Contains(f.Text, test.want) && f.Pos.IsValid()
			})
			if !found {
				t.Errorf("findings: %v; want %v %q", findings, test.severity, test.want)
			}
			if (c == nil) != findings.HasErrors() {
				t.Errorf("compiled: %v, errors: %v", c != nil, findings.HasErrors())
			}
			for _, f := range findings {
				if strings.Contains(f.Text, "secret") {
					t.Errorf("a finding tells the key: %v", f)
				}
			}
		})
	}
}

func TestReqIDsAreStable(t *testing.T) {
	text := strings.Replace(siteToSite, "reqid 77; ", "", 1)
	first := mustCompile(t, text, nil)
	id := first.ReqIDs["out"]
	if id < firstReqID || first.IKEv2.Remotes[0].Children[0].ReqID != id || first.Policy.Selectors[1].ReqID != id {
		t.Fatalf("reqids: %v", first.ReqIDs)
	}
	// Another selector in front does not take it.
	more := strings.Replace(text, "selector out {", `selector a_out { direction outbound; src 10.3.0.0/16; dst 10.2.0.0/16; policy_index p; };
selector a_in { direction inbound; src 10.2.0.0/16; dst 10.3.0.0/16; policy_index p; };
selector out {`, 1)
	second := mustCompile(t, more, func(o *CompileOptions) { o.ReqIDs = first.ReqIDs })
	if second.ReqIDs["out"] != id || second.ReqIDs["a_out"] == id || second.ReqIDs["a_out"] == 0 {
		t.Errorf("before %v, after %v", first.ReqIDs, second.ReqIDs)
	}
	// A configured one wins, and nobody else is given it.
	third := mustCompile(t, strings.Replace(more, "src 10.3.0.0/16; dst 10.2.0.0/16;", "src 10.3.0.0/16; dst 10.2.0.0/16; reqid 16384;", 1), nil)
	if third.ReqIDs["a_out"] != 16384 || third.ReqIDs["out"] == 16384 {
		t.Errorf("with a configured one: %v", third.ReqIDs)
	}
}

// TestSameConfigurationSameSettings holds that compiling twice gives equal
// settings: only what differs is touched by a reload.
func TestSameConfigurationSameSettings(t *testing.T) {
	for _, text := range []string{siteToSite, macros} {
		first := mustCompile(t, text, nil)
		second := mustCompile(t, text, func(o *CompileOptions) { o.ReqIDs = first.ReqIDs })
		if !reflect.DeepEqual(first, second) {
			t.Error("two compilations differ")
		}
	}
}

// The words about how a remote negotiates reach the engine.
func TestCompileWords(t *testing.T) {
	text := strings.Replace(siteToSite, "passive on;", `passive off; proposal_check exact; parent_child_strength on; initial_contact off;
		random_pad_content on; random_padlen on; max_padlen 100; ipsec_sa_nego_time_limit 30 sec; verify_id off;`, 1)
	r := mustCompile(t, text, nil).IKEv2.Remotes[0]
	if r.Passive || r.Check != ikev2.CheckExact || !r.ParentStrength || !r.NoInitialContact || r.VerifyID ||
		r.Padding != (ikev2.Padding{Random: true, Most: 100}) || r.ChildTimeout != 30*time.Second {
		t.Errorf("compiled %+v", r)
	}
	if sn := r.Children[0].Proposals[0].SN; !slices.Equal(sn, []transform.SN{transform.SN_EXTENDED}) {
		t.Errorf("exact with ext_sequence: %v", sn)
	}
	r = mustCompile(t, siteToSite, nil).IKEv2.Remotes[0]
	if r.Check != ikev2.CheckStrict || r.ParentStrength || r.NoInitialContact || r.Padding != (ikev2.Padding{}) || r.ChildTimeout != 0 {
		t.Errorf("by default %+v", r)
	}
	for word, want := range map[string]ikev2.ProposalCheck{"obey": ikev2.CheckObey, "strict": ikev2.CheckStrict, "claim": ikev2.CheckStrict} {
		text := strings.Replace(siteToSite, "passive on;", "proposal_check "+word+"; max_padlen 100;", 1)
		if r := mustCompile(t, text, nil).IKEv2.Remotes[0]; r.Check != want || r.Padding.Most != 0 {
			t.Errorf("%s: %v, padding %v", word, r.Check, r.Padding)
		}
	}
}
