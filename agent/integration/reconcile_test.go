//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// While an agent cannot hear, somebody takes one of its policies away, puts one of
// his own in, and raises more events than its socket holds; and once more while it
// is dead. Each time its own are put back, and those of others stay.
func TestReconcile(t *testing.T) {
	needRoot(t)
	if os.Getenv(envBinary) == "" {
		out := inVM(t, 400, "iproute2", "^TestReconcile$")
		if n := strings.Count(out, "--- PASS: TestReconcile/"); n != 2 {
			t.Errorf("%d of 2 families were tried in the virtual machine:\n%s", n, out)
		}
		return
	}
	if backend() != "xfrm" {
		t.Skip("needs the kernel's SPD")
	}
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "tunnel", false)
			w := p.watch(t)
			p.start()
			ping(t, p.left, p.src, p.dst, 20*time.Second)
			foreign := map[string][2]string{"v4": {"198.51.100.0/24", "203.0.113.0/24"}, "v6": {"2001:db8:a::/48", "2001:db8:b::/48"}}[family]
			s := spd{t, p.left.ns}
			s.run("", "policy", "add", "src", foreign[0], "dst", foreign[1], "dir", "out", "action", "block", "priority", "77")
			ours := []string{"policy", "delete", "src", p.left.net, "dst", p.right.net, "dir", "out"}

			must(t, p.a.cmd.Process.Signal(syscall.SIGSTOP))
			s.run("", ours...)
			var noise strings.Builder
			for range 10000 {
				fmt.Fprintf(&noise, "xfrm policy add src %[1]s dst %[2]s dir in action block priority 78\nxfrm policy delete src %[1]s dst %[2]s dir in\n", foreign[0], foreign[1])
			}
			s.run(noise.String())
			must(t, p.a.cmd.Process.Signal(syscall.SIGCONT))
			waitFor(t, 60*time.Second, "the agent to hear that it has missed something", func() bool {
				return strings.Contains(p.a.log(), "events of the kernel were lost")
			})
			s.want(t, p.left.net, p.right.net, foreign)
			w.reset()
			ping(t, p.left, p.src, p.dst, 20*time.Second)
			w.wantESP(netlab.ESP, 2)

			p.a.kill(syscall.SIGKILL)
			s.run("", ours...)
			p.a.start()
			s.want(t, p.left.net, p.right.net, foreign)
			w.reset()
			ping(t, p.left, p.src, p.dst, 60*time.Second)
			w.wantESP(netlab.ESP, 2)

			p.a.kill(syscall.SIGTERM)
			if list := s.run("", "policy", "list"); strings.Contains(list, p.left.net) || !strings.Contains(list, foreign[0]) {
				t.Errorf("after an orderly end:\n%s", list)
			}
		})
	}
}

// spd is the kernel's SPD, by iproute2's ip and not by the ip of BusyBox.
type spd struct {
	t  *testing.T
	in *netlab.NS
}

// run runs one command of ip xfrm; or those of batch, which ip takes from its standard input.
func (s spd) run(batch string, args ...string) string {
	s.t.Helper()
	args = append([]string{"xfrm"}, args...)
	if batch != "" {
		args = []string{"-batch", "-"}
	}
	cmd := s.in.Command(s.t.Context(), "/usr/bin/ip", args...)
	cmd.Stdin = strings.NewReader(batch)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// want waits for the outbound policy of two networks, and wants another's.
func (s spd) want(t *testing.T, src, dst string, foreign [2]string) {
	t.Helper()
	has := func(list, src, dst string) bool {
		return strings.Contains(list, fmt.Sprintf("src %v dst %v ", netip.MustParsePrefix(src), netip.MustParsePrefix(dst)))
	}
	list := ""
	waitFor(t, 60*time.Second, "the policy to be back", func() bool {
		list = s.run("", "policy", "list", "dir", "out")
		return has(list, src, dst)
	})
	if !has(list, foreign[0], foreign[1]) {
		t.Errorf("the policy of others is gone:\n%s", list)
	}
}
