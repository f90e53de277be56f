//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// tool runs a command that needs no agent.
func tool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := program()
	must(t, err)
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("racoon2 %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// written is an agent on a configuration that a command wrote.
func written(t *testing.T, in *netlab.NS, dir string) *racoon2 {
	t.Helper()
	r := &racoon2{t: t, in: in, dir: dir, config: filepath.Join(dir, "racoon2.conf"), level: "debug"}
	tool(t, "check", "-c", r.config)
	return r
}

// From nothing to a tunnel in four commands: config new, check, run on both
// ends, status.
func TestConfigNew(t *testing.T) {
	for _, mode := range []string{"tunnel", "transport"} {
		t.Run(mode, func(t *testing.T) {
			top := newTopology(t, "v4", false)
			dir := t.TempDir()
			args := []string{"config", "new", "--mode", mode, "--out", dir,
				"--from", "left@" + top.left.outer.String(), "--to", "right@" + top.right.outer.String()}
			src, dst := top.left.outer, top.right.outer
			if mode == "tunnel" {
				args = append(args, "--my-net", top.left.net, "--peer-net", top.right.net)
				src, dst = top.left.inner, top.right.inner
			}
			tool(t, args...)
			a := written(t, top.left.ns, filepath.Join(dir, "left"))
			b := written(t, top.right.ns, filepath.Join(dir, "right"))
			w := top.watch(t)
			b.start()
			a.start()
			w.reset()
			ping(t, top.left, src, dst, 15*time.Second)
			w.wantESP(netlab.ESP, 2)
			if !strings.Contains(a.mustCtl("status"), "ESTABLISHED") {
				t.Error("status does not show the IKE SA")
			}
		})
	}
}

// racoonConf is a site of ipsec-tools: main mode, a pre-shared key.
const racoonConf = `path pre_shared_key "psk.txt";
remote {peer} {
	exchange_mode main;
	my_identifier address {me};
	peers_identifier address {peer};
	proposal {
		encryption_algorithm aes 256;
		hash_algorithm sha256;
		authentication_method pre_shared_key;
		dh_group 14;
	}
}
sainfo address {mynet} any address {peernet} any {
	pfs_group 14;
	encryption_algorithm aes 256;
	authentication_algorithm hmac_sha256;
	compression_algorithm deflate;
}
`

const setkeyConf = `spdflush;
spdadd {mynet} {peernet} any -P out ipsec esp/tunnel/{me}-{peer}/require;
spdadd {peernet} {mynet} any -P in ipsec esp/tunnel/{peer}-{me}/require;
`

// Two ends converted from racoon.conf bring up their tunnel with IKEv2.
func TestConvertedTunnel(t *testing.T) {
	top := newTopology(t, "v4", false)
	convert := func(me, peer site) *racoon2 {
		t.Helper()
		in, out := t.TempDir(), t.TempDir()
		fill := strings.NewReplacer("{me}", me.outer.String(), "{peer}", peer.outer.String(), "{mynet}", me.net, "{peernet}", peer.net)
		write := func(name, text string) string {
			path := filepath.Join(in, name)
			must(t, os.WriteFile(path, []byte(fill.Replace(text)), 0o600))
			return path
		}
		conf, setkey := write("racoon.conf", racoonConf), write("setkey.conf", setkeyConf)
		psk := write("psk.txt", "{peer} "+secret+"\n")
		path, err := program()
		must(t, err)
		// Exit status 1: the compression has no counterpart, and the report says so.
		report, err := exec.Command(path, "config", "convert", conf, "--setkey", setkey, "--psk", psk, "--out", out).CombinedOutput()
		if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) {
			t.Fatalf("config convert: %v\n%s", err, report)
		}
		if !strings.Contains(string(report), "compression_algorithm") {
			t.Errorf("the report does not speak of what was left out:\n%s", report)
		}
		return written(t, me.ns, out)
	}
	a, b := convert(top.left, top.right), convert(top.right, top.left)
	w := top.watch(t)
	b.start()
	a.start()
	w.reset()
	ping(t, top.left, top.left.inner, top.right.inner, 15*time.Second)
	w.wantESP(netlab.ESP, 2)
}
