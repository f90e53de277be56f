package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"racoon2/config"
)

// TestCheckSecrets holds what is said of each file that holds a secret, on real
// files, and that it is said beside errors of the configuration itself.
func TestCheckSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode, owner int, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if owner != 0 && os.Getuid() == 0 {
			if err := os.Chown(path, owner, -1); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	good := write("good", 0o600, 0, "secret")
	for _, test := range []struct {
		name, path, text, hint string
	}{
		{"missing", filepath.Join(dir, "none"), "no such file", "racoon2 psk generate " + dir},
		{"empty", write("empty", 0o600, 0, ""), "the file is empty", "rm " + dir},
		{"open", write("open", 0o644, 0, "secret"), "its mode is 0644", "chmod 600 " + dir},
		{"group", write("group", 0o640, 0, "secret"), "its mode is 0640", "chmod 600 " + dir},
		{"foreign", write("foreign", 0o600, 12345, "secret"), "it belongs to user 12345", "chown"},
		{"folder", dir, "not a regular file", ""},
	} {
		if test.name == "foreign" && os.Getuid() != 0 {
			continue
		}
		for _, place := range []struct{ directive, text string }{
			{"pre_shared_key", fmt.Sprintf(`remote r { ikev2 { my_id fqdn "a"; peers_id fqdn "b"; peers_ipaddr 192.0.2.2; pre_shared_key %q; }; };`, test.path)},
			{"pre_shared_key", fmt.Sprintf(`remote r { ikev2 { my_id fqdn "a"; peers_id fqdn "b"; peers_ipaddr 192.0.2.2; pre_shared_key %q; }; }; sellector x { };`, test.path)},
			{"spmd_password", fmt.Sprintf(`interface { spmd unix "/run/x"; spmd_password %q; };`, test.path)},
			{"radius_secret_file", fmt.Sprintf(`remote r { ikev2 { my_id fqdn "a"; peers_id fqdn "b"; peers_ipaddr 192.0.2.2; pre_shared_key %q;
				radius_server 192.0.2.9; radius_secret_file %q; }; };`, good, test.path)},
		} {
			conf := write("racoon2.conf", 0o600, 0, place.text)
			found := false
			for _, f := range Check(conf, CheckOptions{}) {
				found = found || f.Code == "key-file" && strings.HasPrefix(f.Text, place.directive+" ") && strings.Contains(f.Text, test.text) &&
					strings.Contains(f.Hint, test.hint) && f.Pos.IsValid()
			}
			if !found {
				t.Errorf("%s %s: %v", test.name, place.directive, Check(conf, CheckOptions{}))
			}
		}
	}
	// The PPK has its place beside the configuration.
	text := fmt.Sprintf(`remote r { ikev2 { my_id fqdn "a"; peers_id fqdn "b"; peers_ipaddr 192.0.2.2; pre_shared_key %q; use_ppk on; ppk_id "key"; }; };`, good)
	conf := write("racoon2.conf", 0o600, 0, text)
	if f := Check(conf, CheckOptions{}); f.Count(config.Error) != 1 || f[1].Code != "ppk-file" {
		t.Errorf("without PPK: %v", f)
	}
	write("ppk/key.bin", 0o604, 0, "secret")
	if f := Check(conf, CheckOptions{}); f.Count(config.Error) != 1 || !strings.Contains(f[1].Text, "0604") {
		t.Errorf("with an open PPK: %v", f)
	}
	write("ppk/key.bin", 0o600, 0, "secret")
	if f := Check(conf, CheckOptions{}); f.HasErrors() {
		t.Errorf("with a PPK: %v", f)
	}
}

// TestCheckKernel holds a configuration against a kernel that is named, there or
// here.
func TestCheckKernel(t *testing.T) {
	dir := t.TempDir()
	psk, conf := filepath.Join(dir, "psk"), filepath.Join(dir, "racoon2.conf")
	for path, text := range map[string]string{psk: "secret", conf: strings.ReplaceAll(withPolicy("if_id 7;"), "/psk", psk)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if f := Check(conf, CheckOptions{}); f.HasErrors() {
		t.Errorf("no kernel is named: %v", f)
	}
	if f := Check(conf, CheckOptions{Kernel: "userspace"}); !f.HasErrors() {
		t.Errorf("userspace has no XFRM interfaces: %v", f)
	}
	text := "interface { kernel userspace; };\n" + strings.ReplaceAll(withPolicy("if_id 7;"), "/psk", psk)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := Check(conf, CheckOptions{}); !f.HasErrors() {
		t.Errorf("the configuration names userspace: %v", f)
	}
	found := false
	for _, f := range Check(conf, CheckOptions{Kernel: "pfkey"}) {
		found = found || f.Code == "kernel"
	}
	if !found {
		t.Error("a kernel that is not known is not told")
	}
}
