package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	t "racoon2/ikev2/transform"
)

// TestEverything holds the values of a configuration that uses each directive.
func TestEverything(tt *testing.T) {
	c, fs := clean(tt, everything)
	for _, f := range fs {
		if f.Severity == Warning && strings.Contains(f.Text, "nothing refers") {
			tt.Errorf("finding: %s", f)
		}
	}
	k := c.Remote("all").IKEv2
	check := func(what string, got, want any) {
		tt.Helper()
		if !reflect.DeepEqual(got, want) {
			tt.Errorf("%s is %+v, want %+v", what, got, want)
		}
	}
	check("accepted", c.Remote("all").AcceptableKMP, []KMP{KMPIKEv2, KMPKINK})
	check("selector", c.Remote("all").Selector, c.Selector("in"))
	check("passive", k.Passive, true)
	check("peers", fmt.Sprint(k.PeersIPAddr[0], k.PeersIPAddr[0].Port, k.PeersIPAddr[1], k.PeersIPAddr[1].Port), "2001:db8::2 500 192.0.2.2 1500")
	check("nonce", k.NonceSize, 64)
	check("NAT", k.NATTraversal, NATForce)
	check("lifetime", k.Lifetime, time.Duration(0))
	check("lifetime in octets", k.LifetimeBytes, uint64(1<<30))
	check("negotiation", k.NegotiationLimit, time.Minute)
	check("grace", k.GracePeriod, 24*time.Hour)
	check("retries", []any{k.MaxRetryToSend, k.IntervalToSend, k.TimesPerSend}, []any{3, 10 * time.Second, 2})
	check("dpd", k.DPDDelay, time.Duration(0))
	check("auth", k.AuthMethods, []AuthMethod{AuthPSK})
	check("scripts", k.Scripts, map[Event]string{EventPhase1Up: "/up", EventPhase2Down: "/down", EventMigration: "/m"})
	check("request", k.Request, []ConfigAttribute{RequestIP4, RequestDNS, RequestApplicationVersion})
	check("pool", k.Provide.AddressPool, c.index.pools["pool"])
	check("ranges", len(k.Provide.AddressPool.Ranges), 3)
	check("radius", k.RADIUS.Port, uint16(1812))
	check("booleans", []bool{k.NeedPFS, k.CookieRequired, k.SendPeersID, k.UsePPK, k.PPKMandatory, k.Childless, k.ADDKERequired, k.OfferIntermediate}, []bool{true, true, true, true, true, true, true, true})
	check("psk", k.PreSharedKey, "/etc/racoon2/psk")
	check("ids", []any{k.MyID[0].Value, k.PeersID[0].Address.Macro, k.PeersID[2].File, k.PeersID[3].File, k.MyID[1].File},
		[]any{"all.example.org", MacroAny, true, true, false})
	check("proposals", k.Proposals, []IKEProposal{
		{Encr: []Encryption{{t.ENCR_AES_CBC, 256}, {t.ENCR_3DES, 0}, {t.ENCR_AES_CBC, 192}, {t.ENCR_AES_CBC, 128}}, PRF: []t.PRF{t.PRF_HMAC_SHA1, t.PRF_HMAC_SHA2_256, t.PRF_AES128_CMAC},
			Integ: []t.INTEG{t.AUTH_HMAC_SHA2_256_128}, KE: []t.KE{t.KE_CURVE25519, t.KE_MODP_2048, t.KE_MODP_1024, t.KE_ECP_521}},
		{Encr: []Encryption{{t.ENCR_AES_GCM_16, 256}, {t.ENCR_AES_GCM_16, 192}, {t.ENCR_AES_GCM_16, 128}, {t.ENCR_CHACHA20_POLY1305, 0}},
			PRF: []t.PRF{t.PRF_HMAC_SHA1, t.PRF_HMAC_SHA2_256, t.PRF_AES128_CMAC}, KE: []t.KE{t.KE_CURVE25519, t.KE_MODP_2048, t.KE_MODP_1024, t.KE_ECP_521}},
	})
	one := c.Remote("all").IKEv1
	check("ikev1", []any{one.Encryption[1].Name, one.Encryption[1].KeyBits, one.DPD, one.DPDMaxFail}, []any{"blowfish_cbc", 128, true, 5})
	check("kink", c.Remote("all").KINK.PeersPrincipal, "kink/b@EXAMPLE.ORG")

	heir := c.Remote("heir").IKEv2
	check("inherited", []any{heir.MyID[0].Value, heir.DPDDelay, heir.PreSharedKey, heir.Proposals[0].KE},
		[]any{"me.example.org", time.Duration(0), "/etc/racoon2/psk", []t.KE{t.KE_ECP_384, t.KE_CURVE25519}})

	s := c.Selector("out")
	check("selector", []any{s.Order, s.Direction, s.Protocol, s.SrcPort, s.DstPort, s.ReqID, s.NextHeader, s.Tagged},
		[]any{uint32(1), Outbound, uint8(6), PortRange{80, 80}, PortRange{80, 80}, uint32(7), uint8(50), "t"})
	check("reverse", s.Reverse, c.Selector("in"))
	check("ping", []any{c.Selector("ping").Protocol, c.Selector("ping").SrcPort, c.Selector("ping").DstPort},
		[]any{uint8(58), PortRange{128, 128}, PortRange{0, 0}})

	p := c.Policy("plain")
	check("policy", []any{p.Install, p.Mode, p.Level, p.MySAIPAddr.Macro, p.PeersSAIPAddr.Addr.String(), p.InitialChildKE},
		[]any{false, ModeTunnel, LevelUnique, MacroMyIPv6, "2001:db8::2", InitialChildKEImmediate})
	check("alternatives", []bool{p.IPsecs[0].Disabled, p.IPsecs[1].Disabled, p.IPsecs[1].RefusedByIKEv2() != ""}, []bool{false, false, true})
	check("AH", p.IPsecs[1].SAs[1].Proposals, []SAProposal{{Integ: []t.INTEG{t.AUTH_HMAC_SHA2_256_128}}})
	check("IPComp", c.index.sas["small"].Proposals, []SAProposal{{Comp: []t.COMP{t.COMP_DEFLATE}}})
	check("ipsec", []any{p.IPsecs[0].Lifetime, p.IPsecs[0].ExtSequence, p.IPsecs[1].Lifetime}, []any{90 * time.Minute, true, 2 * time.Hour})
	check("esp", p.IPsecs[0].SAs[0].Proposals, []SAProposal{
		{Encr: []Encryption{{t.ENCR_AES_GCM_16, 128}}},
		{Encr: []Encryption{{t.ENCR_AES_CBC, 256}}, Integ: []t.INTEG{t.AUTH_HMAC_SHA2_512_256}},
	})
	check("default mode", c.Policy("roaming").Mode, ModeTransport)
	check("actions", []Action{c.Policy("clear").Action, c.Policy("drop").Action}, []Action{ActionNone, ActionDiscard})
	check("interface", []any{c.Interface.IKE[1].Interface, c.Interface.KINK[0].Port, c.Interface.SPMD[0].Name, c.Interface.SPMD[1].Port, c.Interface.SPMDPassword, c.Interface.ApplicationBypass},
		[]any{"eth0", uint16(910), "/run/racoon2/spmif", uint16(9555), "/etc/racoon2/spmd.pwd", false})
	check("resolver", []any{c.Resolver.On, c.Resolver.NameServers[0].Port, c.Resolver.DNSQuery[1].Port}, []any{true, uint16(53), uint16(53)})
	check("nameserver over TLS", []any{c.Resolver.NameServers[1].Port, c.Resolver.NameServers[1].TLSName, c.Resolver.NameServers[2].Port, c.Resolver.NameServers[2].TLSName},
		[]any{uint16(8853), "dns.example.org", uint16(853), "dns.example.net"})
	check("resolver's options", c.Resolver.ResolverOptions, ResolverOptions{
		CacheSize: 100, TTLFloor: time.Minute, TTLCeiling: time.Hour, ServeStale: 24 * time.Hour, Prefetch: true,
		GateTime: 2 * time.Second, GateOutcome: GateAnswer, AddressAction: ActionNone,
		RateLimit: 100, RateBurst: 300, RequireDNSSEC: true, Forward: []string{"corp.test", "lan"},
	})
}

// TestEveryDirectiveIsRead keeps everything complete: each row of the language
// is used by it and kept by the reader.
func TestEveryDirectiveIsRead(tt *testing.T) {
	report := newReporter()
	g := newGatherer(Options{FS: Files{"f": everything}, LookupEnv: noEnv}.withDefaults(), report)
	g.file("f", Pos{}, nil)
	r := newResolver(g)
	r.collect(g.sections)
	seen := map[*directive]bool{}
	var walk func(s *section)
	walk = func(s *section) {
		if s == nil {
			return
		}
		for _, e := range s.entries {
			seen[e.dir] = true
			if inner, ok := e.val.(*section); ok {
				walk(inner)
			}
		}
	}
	all := []*section{r.iface, r.dns, r.defaults[inRemote], r.defaults[inSA]}
	for _, list := range [][]*section{r.remotes, r.selectors, r.policies, r.ipsecs, r.sas} {
		all = append(all, list...)
	}
	for _, s := range all {
		walk(s)
	}
	for _, group := range directives {
		for i := range group {
			if d := &group[i]; !seen[d] {
				tt.Errorf("%s is not in the test's configuration", d.name)
			}
		}
	}
}

// TestZeroIsNotUnset holds the difference that the original does not make.
func TestZeroIsNotUnset(tt *testing.T) {
	c, _ := clean(tt, `default { remote { ikev2 { kmp_sa_lifetime_time 1 hour; dpd_delay 30; passive on; need_pfs on; }; };
		ipsec { ipsec_sa_lifetime_time 10 min; ipsec_sa_lifetime_byte 1 MB; }; };
		ipsec short { ipsec_sa_lifetime_time infinite; ipsec_sa_lifetime_byte 0; };
		`+strings.NewReplacer("ikev2 {", "ikev2 { kmp_sa_lifetime_time infinite; dpd_delay 0; passive off;", "remote_index", "ipsec_index short; remote_index").Replace(minimal))
	k := c.Remote("peer").IKEv2
	if k.Lifetime != 0 || k.DPDDelay != 0 || k.Passive || !k.NeedPFS {
		tt.Errorf("ikev2: %+v", k.Common)
	}
	if i := c.Policy("tunnel").IPsecs[0]; i.Lifetime != 0 || i.LifetimeBytes != 0 {
		tt.Errorf("ipsec: %+v", i)
	}
	if c.Default != nil {
		tt.Error("a default that is only inherited became a remote")
	}
}

func TestDefaultRemote(tt *testing.T) {
	c, fs := clean(tt, `default { remote { ikev2 { my_id fqdn "a"; peers_id fqdn "b"; peers_ipaddr IP_RW; pre_shared_key "/psk"; }; }; };`)
	if len(fs) != 0 || c.Default == nil || c.Default.IKEv2 == nil || c.Default.IKEv2.PreSharedKey != "/psk" {
		tt.Errorf("default %+v\n%s", c.Default, report(fs))
	}
}

// TestAcceptable holds which protocols a remote speaks.
func TestAcceptable(tt *testing.T) {
	const v2 = `ikev2 { my_id fqdn "a"; peers_id fqdn "b"; peers_ipaddr 192.0.2.2; pre_shared_key "/p"; }; `
	for _, test := range []struct{ name, def, remote, want, code string }{
		{"from blocks", "", v2, "[ikev2]", ""},
		{"two blocks", "", "ikev1 { };" + v2, "[ikev2]", "not-built"},
		{"listed", "", "acceptable_kmp ikev2;" + v2, "[ikev2]", ""},
		{"inherited list", "acceptable_kmp { ikev1; ikev2; kink; };", v2, "[ikev2]", ""},
		{"inherited block", v2, "acceptable_kmp ikev2;", "[ikev2]", ""},
		{"all inherited", v2, "", "[ikev2]", ""},
		{"inherited field", v2, `ikev2 { passive on; };`, "[ikev2]", ""},
		{"none", "", "", "[]", "no-protocol"},
		{"no block", "", "acceptable_kmp ikev2;", "[]", "no-protocol-block"},
		{"inherited list without block", "acceptable_kmp ikev1;", v2, "[]", "no-protocol"},
	} {
		tt.Run(test.name, func(tt *testing.T) {
			c, fs := one(tt, "default { remote { "+test.def+" }; }; remote r { "+test.remote+" };")
			if got := fmt.Sprint(c.Remote("r").AcceptableKMP); got != test.want {
				tt.Errorf("accepts %s, want %s", got, test.want)
			}
			if test.code != "" && !strings.Contains(codes(fs), test.code) || test.code == "" && (fs.HasErrors() || fs.Count(Warning) > 0) {
				tt.Errorf("want %s, got\n%s", test.code, report(fs))
			}
		})
	}
}

func TestAlgorithmLists(tt *testing.T) {
	for _, test := range []struct{ lists, want string }{
		{"kmp_enc_alg aes_gcm;", "[20/256 20/192 20/128] [5 6 7] [] [31 19 20 14]"},
		{"kmp_enc_alg { aes_gcm,128; }; kmp_hash_alg { non_auth; };", "[20/128] [5 6 7] [] [31 19 20 14]"},
		{"kmp_enc_alg { aes_gcm,128; }; kmp_hash_alg { };", "[20/128] [5 6 7] [] [31 19 20 14]"},
		{"kmp_enc_alg { aes128_cbc; aes_gcm16,256; aes_cbc,128; };", "[12/128] [5 6 7] [12 13 14] [31 19 20 14], [20/256] [5 6 7] [] [31 19 20 14]"},
		{"kmp_enc_alg { aes_gcm,256; aes256_cbc; }; kmp_hash_alg { non_auth; };", "[20/256] [5 6 7] [] [31 19 20 14]"},
		{"kmp_hash_alg { non_auth; };", "[20/256 20/128 28/0] [5 6 7] [] [31 19 20 14]"},
		{"kmp_enc_alg chacha20_poly1305,256; kmp_prf_alg { sha1; hmac_md5; }; kmp_dh_group { 19; x25519; modp4096; 2; };", "[28/0] [2 1] [] [19 31 16 2]"},
		{"kmp_enc_alg { rijndael_cbc,192; 3des; }; kmp_hash_alg { hmac_md5; sha2_384; };", "[12/192 3/0] [5 6 7] [1 13] [31 19 20 14]"},
	} {
		c, fs := one(tt, strings.Replace(minimal, "ikev2 {", "ikev2 { "+test.lists, 1))
		if fs.HasErrors() || c.Remote("peer").IKEv2 == nil {
			tt.Errorf("%s:\n%s", test.lists, report(fs))
			continue
		}
		var got []string
		for _, p := range c.Remote("peer").IKEv2.Proposals {
			var encr []string
			for _, e := range p.Encr {
				encr = append(encr, fmt.Sprintf("%d/%d", uint16(e.ID), e.KeyBits))
			}
			got = append(got, fmt.Sprintf("%v %d %d %d", encr, p.PRF, p.Integ, p.KE))
		}
		if s := strings.Join(got, ", "); s != test.want {
			tt.Errorf("%s\n got %s\nwant %s", test.lists, s, test.want)
		}
	}
}

func TestAddresses(tt *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"192.0.2.1", "1 192.0.2.1 192.0.2.1/32"},
		{"192.0.2.1/24", "1 192.0.2.0/24 192.0.2.0/24"},
		{"0.0.0.0/0", "1 0.0.0.0/0 0.0.0.0/0"},
		{"2001:db8::1", "1 2001:db8::1 2001:db8::1/128"},
		{"fe80::1%eth0", "1 fe80::1%eth0 fe80::1/128"},
		{"2001:db8::/32", "1 2001:db8::/32 2001:db8::/32"},
		{"MY_IP", "2 MY_IP invalid Prefix"},
		{"MY_IPV6_GLOBAL%eth0/64", "2 MY_IPV6_GLOBAL%eth0/64 invalid Prefix"},
		{"www.example.org", "3 www.example.org invalid Prefix"},
		{"www.example.org/24", "3 www.example.org/24 invalid Prefix"},
		{"10.0.0", "error"}, {"10.0.0.1/", "error"}, {"10.0.0.1/-1", "error"}, {"10.0.0.1/+1", "error"}, {"::/129", "error"},
		{"MY_IP/129", "error"}, {"MY_IP%", "error"}, {"MY_IP%a b", "error"}, {"my_ip", "3 my_ip invalid Prefix"},
		{"a..b", "error"}, {"-a.b", "error"}, {"", "error"}, {strings.Repeat("a.", 200), "error"}, {"a b", "error"},
		{"www.example.org%eth0", "error"}, {"www/129", "error"}, {"10.0.0.1-10.0.0.2", "error"}, {"::ffff:1.2.3.4", "error"},
	} {
		a, err := parseAddress(test.text)
		got := fmt.Sprintf("%d %v %v", a.Kind, a, a.Prefix)
		if err != nil {
			got = "error"
		}
		if got != test.want {
			tt.Errorf("%q: %s, want %s", test.text, got, test.want)
		}
	}
}

func TestSystemTables(tt *testing.T) {
	c, fs := Load("f", Options{LookupEnv: noEnv, FS: Files{
		"f":              strings.NewReplacer("10.0.1.0/24;", "10.0.1.0/24 port gopher;", "direction", "upper_layer_protocol xtp; direction").Replace(minimal),
		"/etc/services":  "# comment\ngopher\t70/tcp\tburrow # x\ngopher 71/udp\nbad\nworse x/tcp\nlarge 70000/tcp\n",
		"/etc/protocols": "xtp 36 XTP\n",
	}})
	if fs.HasErrors() {
		tt.Fatalf("findings:\n%s", report(fs))
	}
	if s := c.Selector("out"); s.SrcPort != (PortRange{70, 70}) || s.Protocol != 36 {
		tt.Errorf("selector: %+v", s)
	}
}

// TestFamilies holds which addresses can meet.
func TestFamilies(tt *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"10.0.0.1", "10.0.0.2", true}, {"10.0.0.1", "::1", false}, {"MY_IP", "::1", true}, {"MY_IPV4", "::1", false},
		{"MY_IPV6_GLOBAL", "10.0.0.1", false}, {"IP_ANY", "10.0.0.1", true}, {"MY_IPV4", "MY_IPV6", false}, {"IP_RW", "MY_IPV6", true},
	} {
		a, _ := parseAddress(test.a)
		b, _ := parseAddress(test.b)
		if familiesMeet([]Address{a}, []Address{b}) != test.want {
			tt.Errorf("%s and %s: want %v", test.a, test.b, test.want)
		}
	}
}
