package agent

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"racoon2/config"
	"racoon2/kink/kerberos"
)

// parts are the sections of a configuration, each with its directives by word.
// KINK has a remote of its own, with its policy, since a remote speaks one
// protocol first.
type parts map[string]map[string]string

func newParts() parts {
	return parts{
		"interface": {"ike": "192.0.2.1", "spmd": `unix "/s"`}, "resolver": {"resolver": "on", "nameserver": "192.0.2.53", "dns_query": "127.0.0.1"},
		"remote": {"acceptable_kmp": "ikev2"},
		"ikev2": {"my_id": `fqdn "a.example.org"`, "peers_id": `fqdn "b.example.org"`, "peers_ipaddr": "192.0.2.2",
			"pre_shared_key": `"/psk"`, "need_pfs": "on"},
		"kink":     {"my_principal": `"kink/a@EXAMPLE.ORG"`, "peers_principal": `"kink/c@EXAMPLE.ORG"`, "peers_ipaddr": "192.0.2.2", "keytab": `"/keytab"`},
		"selector": {"direction": "outbound", "src": "10.1.0.0/16", "dst": "10.2.0.0/16", "policy_index": "tunnel"},
		"policy":   {"remote_index": "peer", "ipsec_index": "bundle"},
		"ipsec":    {"sa_index": "transform"}, "sa": {"sa_protocol": "esp"},
	}
}

// body writes the directives of a part on one line: where something stands is told
// by its line, and must not change with what stands beside it.
func (p parts) body(part string) string {
	var b strings.Builder
	for _, word := range slices.Sorted(func(yield func(string) bool) {
		for w := range p[part] {
			if !yield(w) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "%s %s; ", word, p[part][word])
	}
	return b.String()
}

func (p parts) set(part, word, value string) {
	if p[part] == nil {
		p[part] = map[string]string{}
	}
	p[part][word] = value
}

// block writes a block of a remote where anything stands in it.
func (p parts) block(prefix, name string) string {
	body := p.body(prefix + name)
	if name == "ikev2" && p.body(prefix+"eap") != "" {
		body += "eap { " + p.body(prefix+"eap") + "}; "
	}
	if body == "" {
		return ""
	}
	return name + " { " + body + "}; "
}

// String writes the configuration. The protocol that is under test has the
// selector's traffic.
func (p parts) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "interface { %s};\nresolver { %s};\n", p.body("interface"), p.body("resolver"))
	fmt.Fprintf(&b, "default {\nremote { %s%s%s};\npolicy { %s};\nipsec { %s};\nsa { %s};\n};\n", p.body("default/remote"),
		p.block("default/", "ikev2"), p.block("default/", "kink"), p.body("default/policy"), p.body("default/ipsec"), p.body("default/sa"))
	fmt.Fprintf(&b, "remote peer { %s%s};\n", p.body("remote"), p.block("", "ikev2"))
	fmt.Fprintf(&b, "remote kerberized { acceptable_kmp kink; %s%s};\n", p.body("kerberized"), p.block("", "kink"))
	fmt.Fprintf(&b, "policy kerberized { remote_index kerberized; peers_sa_ipaddr 192.0.2.3; %s};\n", p.body("kerberized policy"))
	fmt.Fprintf(&b, "selector out { %s};\npolicy tunnel { %s};\nipsec bundle { %s};\nsa transform { %s};\n",
		p.body("selector"), p.body("policy"), p.body("ipsec"), p.body("sa"))
	b.WriteString(`selector in { direction inbound; src 10.2.0.0/16; dst 10.1.0.0/16; policy_index tunnel; };
selector kout { direction outbound; src 10.1.0.0/16; dst 10.3.0.0/16; policy_index kerberized; };
selector kin { direction inbound; src 10.3.0.0/16; dst 10.1.0.0/16; policy_index kerberized; };
remote second { ikev2 { my_id fqdn "a"; peers_id fqdn "d"; peers_ipaddr 192.0.2.9; pre_shared_key "/psk"; }; };
policy other { action discard; };
ipsec other { sa_index other; };
sa other { sa_protocol esp; esp_enc_alg aes_gcm,128; };
sa header { sa_protocol ah; ah_auth_alg hmac_sha2_512; };
addresspool office { 172.16.0.1 - 172.16.0.9; };
`)
	return b.String()
}

// outcome is all that the agent makes of a configuration.
type outcome struct {
	Compiled *Compiled
	Binds    []bind
	Control  any
	Names    any
	Listen   []config.Address
	On       bool
	Kernel   string
	Log      config.LogFormat
	Bypass   bool
	Logs     any
	Links    []string
	Scripts  []map[config.Event]string
	Makes    []string // the children whose policies a responder of KINK makes
}

func outcomeOf(t *testing.T, p parts) (outcome, config.Findings) {
	t.Helper()
	text := p.String()
	cfg, findings := config.Load("/racoon2.conf", config.Options{FS: config.Files{"/racoon2.conf": text},
		LookupEnv: func(string) (string, bool) { return "", false }})
	var more config.Findings
	var o outcome
	if !findings.HasErrors() {
		co := CompileOptions{Interfaces: testHost, ReadSecret: func(path string) ([]byte, error) { return []byte(path), nil },
			Names: func(string) []netip.Addr { return nil },
			KINK: KINKOptions{
				Host: func() string { return "a.example.org" }, NamesOf: func(netip.Addr) []string { return nil },
				Krb5Conf: func(path string) (*kerberos.Krb5Conf, error) {
					return kerberos.ParseKrb5Conf([]byte("[libdefaults]\ndefault_realm = EXAMPLE.ORG\n[realms]\nEXAMPLE.ORG = {\nkdc = kdc" + strings.ReplaceAll(path, "/", "") + ".example.org\n}\n"))
				}, Keytab: func(string) error { return nil },
			}}
		o.Compiled, more = Compile(cfg, co)
	}
	all := append(slices.Clone(findings), more...)
	for _, f := range all {
		if f.Severity == config.Error {
			t.Fatalf("%v in\n%s", f, text)
		}
	}
	o.Binds = bindsOf(&plan{cfg: cfg, compiled: o.Compiled}, testHost)
	o.Control = controlOf(cfg.Interface, "/run")
	o.Names = []any{resolverSettings(&cfg.Resolver), upstreams(cfg.Resolver.NameServers, nil)}
	for _, a := range cfg.Resolver.DNSQuery {
		a.Pos = config.Pos{}
		o.Listen = append(o.Listen, a)
	}
	o.On, o.Kernel, o.Log, o.Bypass = cfg.Resolver.On, cfg.Interface.Kernel.String(), cfg.Interface.LogFormat, cfg.Interface.ApplicationBypass
	o.Logs = remoteLogs(cfg)
	for _, r := range remotes(cfg) {
		for _, c := range commons(r) {
			o.Scripts = append(o.Scripts, c.Scripts)
		}
	}
	for _, l := range xfrmLinks(cfg) {
		o.Links = append(o.Links, l.name)
	}
	if o.Compiled != nil && o.Compiled.KINK != nil {
		pl := &plan{cfg: cfg, compiled: o.Compiled}
		for _, r := range o.Compiled.KINK.Remotes {
			for _, c := range r.Children {
				if pl.makesPolicies(r.Name, c.Name) {
					o.Makes = append(o.Makes, c.Name)
				}
			}
		}
	}
	return o, all
}

// beside are what a directive needs in order to mean anything, and what it must
// not stand beside, by word or by place and word.
var beside = map[string]func(p parts, part string){
	"xfrm_interface":      func(p parts, at string) { p.set(at, "if_id", "7") },
	"policy/my_sa_ipaddr": func(p parts, _ string) { p.set("policy", "ipsec_mode", "tunnel") },
	"rate_burst":          func(p parts, _ string) { p.set("resolver", "rate_limit", "7") },
	"ppk_mandatory":       func(p parts, part string) { p.set(part, "use_ppk", "on"); p.set(part, "ppk_id", `"key"`) },
	"use_ppk":             func(p parts, part string) { p.set(part, "ppk_id", `"key"`) },
	"ppk_id":              func(p parts, part string) { p.set(part, "use_ppk", "on"); p.set(part, "ppk_id", `"other"`) },
	"radius_port":         func(p parts, part string) { p.set(part, "radius_server", "192.0.2.9") },
	"radius_secret_file":  func(p parts, part string) { p.set(part, "radius_server", "192.0.2.9") },
	"ah_auth_alg":         asAH,
	"ah_addke_alg":        asAH,
	"ipcomp_alg": func(p parts, _ string) {
		p.set("sa", "sa_protocol", "ipcomp")
		p.set("ipsec", "sa_index", "{ transform; other; }")
	},
	"sa_protocol": func(p parts, _ string) { p.set("sa", "sa_protocol", "ah") },
	"spi":         static,
	"kink/kmp_dh_group": func(p parts, part string) {
		p.set(part, "need_pfs", "on")
	},
	"max_padlen":         func(p parts, part string) { p.set(part, "random_padlen", "on") },
	"random_pad_content": func(p parts, part string) { p.set(part, "random_padlen", "on"); p.set(part, "max_padlen", "50") },
	"random_padlen":      func(p parts, part string) { p.set(part, "max_padlen", "50") },
	"resolver/resolver":  func(p parts, _ string) { delete(p["resolver"], "resolver") },
	"dns_query":          func(p parts, _ string) { delete(p["resolver"], "dns_query") },
	"selector/direction": func(p parts, _ string) { p.set("selector", "direction", "inbound") },
	"need_pfs":           func(p parts, part string) { delete(p[part], "need_pfs") },
	"selector_index":     func(p parts, _ string) { p.set("kerberized policy", "install", "off") },
}

// elsewhere are the words that are a matter of the other remote.
var elsewhere = map[string]string{"remote/selector_index": "kerberized"}

// sayNothing are the words whose values say what happens anyway, all of them.
var sayNothing = map[string]string{
	"kmp_auth_method": "a pre-shared key is the only method that is built; others are left out with words",
	"ipcomp_alg":      "DEFLATE is the only compression that is built; others are left out with words",
}

// beyond are the words that take effect beyond what outcome shows.
var beyond = map[string]string{"metrics": "the agent serves them"}

// values are those of words whose examples name files.
func values(t *testing.T) map[string]string {
	return map[string]string{"script": fmt.Sprintf("{ ike_sa_up %q; }", os.Args[0]), "selector_index": "kin"}
}

// needed are the words without which the configuration would be none.
var needed = map[string]bool{
	"pre_shared_key": true, "my_id": true, "peers_id": true, "peers_ipaddr": true, "remote_index": true, "sa_protocol": true,
	"spi": true, "keytab": true, "my_principal": true, "peers_principal": true,
}

func asAH(p parts, _ string) {
	p.set("sa", "sa_protocol", "ah")
	p.set("sa", "ah_auth_alg", "hmac_sha2_256")
}

func static(p parts, _ string) {
	p.set("policy", "action", "static_ipsec")
	p.set("policy", "my_sa_ipaddr", "192.0.2.1")
	p.set("policy", "peers_sa_ipaddr", "192.0.2.2")
	p.set("sa", "esp_enc_alg", "aes_cbc,128,0x00112233445566778899aabbccddeeff")
	p.set("sa", "esp_auth_alg", "hmac_sha2_256,,0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")
	p.set("sa", "spi", "0x200")
	p.set("selector", "policy_index", "tunnel")
}

// TestEveryDirectiveTakesEffect holds each word of the language, at each of its
// places and where it is inherited: it changes what the agent makes of the
// configuration, or it is warned about.
func TestEveryDirectiveTakesEffect(t *testing.T) {
	for _, d := range config.Directives() {
		for _, part := range d.Where {
			if part == "the top level" || part == "ikev1" || part == "provide" || slices.Contains([]string{"ikev1", "ikev2", "kink", "acceptable_kmp"}, d.Name) && part == "remote" {
				continue // TestEveryDirective of config has what is a matter of reading alone
			}
			t.Run(part+"/"+d.Name, func(t *testing.T) { takesEffect(t, d, part, part) })
			if d.Inherit {
				t.Run("default/"+part+"/"+d.Name, func(t *testing.T) { takesEffect(t, d, part, "default/"+part) })
			}
		}
	}
}

func takesEffect(t *testing.T, d config.Directive, part, at string) {
	before, after := newParts(), newParts()
	for _, p := range []parts{before, after} {
		for _, key := range []string{d.Name, part + "/" + d.Name} {
			if f := beside[key]; f != nil {
				f(p, at)
			}
		}
	}
	if at != part {
		delete(after[part], d.Name)
		if !needed[d.Name] {
			delete(before[part], d.Name)
		}
	}
	if why := sayNothing[d.Name]; why != "" {
		t.Log(why)
		return
	}
	if other := elsewhere[at+"/"+d.Name]; other != "" {
		at = other
	}
	value := cmp.Or(values(t)[d.Name], strings.TrimSuffix(strings.TrimPrefix(d.Example, d.Name+" "), ";"))
	after.set(at, d.Name, value)
	a, _ := outcomeOf(t, before)
	b, findings := outcomeOf(t, after)
	changes := !reflect.DeepEqual(a, b)
	warned := slices.ContainsFunc(findings, func(f config.Finding) bool {
		return strings.HasPrefix(f.Text, d.Name+" has no effect") || f.Code == "left-out" && strings.Contains(f.Offending, "addke")
	})
	switch effective := d.State == config.Effective; {
	case effective && !changes && beyond[d.Name] == "":
		t.Errorf("nothing comes of it (what takes effect beyond Compile belongs in outcome) in\n%s", after)
	case effective && warned && !changes:
		t.Errorf("it is warned about, and has its effect: %v", findings)
	case !effective && !warned && value != "off":
		t.Errorf("it has no effect, and nothing says so: %v\n%s", findings, after)
	case !effective && changes:
		t.Errorf("it says that it has no effect (%s), and has one", d.State)
	}
}
