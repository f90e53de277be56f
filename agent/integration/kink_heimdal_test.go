//go:build linux

package integration

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// envHeimdal is where Debian's packages heimdal-kdc and heimdal-clients are
// unpacked. They cannot be installed beside MIT's; .ci/run unpacks them here.
const (
	envHeimdal     = "RACOON2_TEST_HEIMDAL"
	defaultHeimdal = "/opt/racoon2-heimdal"
)

// heimdalKDC is Heimdal's.
type heimdalKDC struct{}

func (heimdalKDC) program(k *kdc, name string) string {
	path := filepath.Join(cmp.Or(os.Getenv(envHeimdal), defaultHeimdal), name)
	if _, err := os.Stat(path); err != nil {
		k.t.Skipf("needs heimdal-kdc and heimdal-clients unpacked, as .ci/run does it: %v", err)
	}
	return path
}

func (heimdalKDC) environment(k *kdc) []string {
	return []string{"KRB5_CONFIG=" + k.path("heimdal.conf"), "LC_ALL=C"}
}

func (h heimdalKDC) create(k *kdc) {
	conf, err := os.ReadFile(k.path("krb5.conf"))
	if err != nil {
		k.t.Fatal(err)
	}
	k.write("heimdal.conf", string(conf)+strings.ReplaceAll(`[kdc]
	database = {
		dbname = DIR/db
		realm = EXAMPLE.TEST
		mkey_file = DIR/mkey
		acl_file = DIR/acl
		log_file = DIR/log
	}
[logging]
	kdc = 0-/FILE:DIR/kdc.log
`, "DIR", k.dir))
	k.tool(h.program(k, "usr/sbin/kstash"), "--random-key", "--key-file="+k.path("mkey"))
	h.kadmin(k, "init", "--realm-max-ticket-life=1day", "--realm-max-renewable-life=1week", realmName)
}

func (h heimdalKDC) kadmin(k *kdc, args ...string) {
	k.t.Helper()
	k.tool(h.program(k, "usr/bin/kadmin.heimdal"), append([]string{"-l"}, args...)...)
}

func (h heimdalKDC) add(k *kdc, principal string, options ...string) {
	k.t.Helper()
	h.kadmin(k, append(append([]string{"add", "--random-key", "--use-defaults"}, options...), principal)...)
}

func (h heimdalKDC) change(k *kdc, principal string, options ...string) {
	k.t.Helper()
	h.kadmin(k, append(append([]string{"modify"}, options...), principal)...)
}

func (h heimdalKDC) extract(k *kdc, keytab string, principals ...string) {
	k.t.Helper()
	h.kadmin(k, append([]string{"ext_keytab", "-k", k.path(keytab)}, principals...)...)
}

func (h heimdalKDC) daemon(k *kdc) (string, []string) {
	return h.program(k, "usr/lib/heimdal-servers/kdc"), []string{"--config-file=" + k.path("heimdal.conf"), "--ports=88"}
}

// The same with a Heimdal realm: plain and user-to-user tickets.
func TestKINKHeimdal(t *testing.T) {
	for name, change := range map[string]func(*kinkPair){
		"v4": func(*kinkPair) {},
		"v6": func(p *kinkPair) { p.left.KINK, p.right.KINK = "user_to_user on;", "user_to_user require;" },
	} {
		t.Run(name, func(t *testing.T) {
			p := newKINKWith(t, name, "transport", heimdalKDC{})
			change(p)
			w := p.up(t)
			p.b.mustCtl("sa", "flush")
			ping(t, p.topology.right, p.dst, p.src, 20*time.Second)
			p.agree(t)
			if out, err := p.a.ctl("kink", "check", "-c", p.a.config); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			w.wantNoClear()
		})
	}
}
