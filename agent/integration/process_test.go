//go:build linux

package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/agent"
)

// threads are the status files of all threads of an agent, by field.
func (r *racoon2) threads() []map[string]string {
	r.t.Helper()
	dir := fmt.Sprintf("/proc/%d/task", r.cmd.Process.Pid)
	tasks, err := os.ReadDir(dir)
	must(r.t, err)
	var out []map[string]string
	for _, task := range tasks {
		text, err := os.ReadFile(filepath.Join(dir, task.Name(), "status"))
		if err != nil {
			continue // the thread has just ended
		}
		fields := make(map[string]string)
		for _, line := range strings.Split(string(text), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				fields[name] = strings.TrimSpace(value)
			}
		}
		out = append(out, fields)
	}
	return out
}

// The capabilities that an agent keeps: DAC_READ_SEARCH, NET_BIND_SERVICE,
// NET_ADMIN and NET_RAW.
const keptCapabilities = "0000000000003404"

// An agent gives up what only the start needed, on every thread, and can do all
// that it has to: tunnels, a reload that opens a port below 1024, an orderly end.
func TestPrivileges(t *testing.T) {
	p := newPair(t, "v4", "tunnel", false)
	p.start()
	ping(t, p.left, p.src, p.dst, 20*time.Second)
	waitFor(t, 20*time.Second, "the privileges to go, which comes after the start", func() bool {
		return strings.Contains(p.a.log(), "privileges are given up")
	})
	for _, task := range p.a.threads() {
		for field, want := range map[string]string{
			"CapPrm": keptCapabilities, "CapEff": keptCapabilities, "CapInh": "0000000000000000", "CapBnd": keptCapabilities, "NoNewPrivs": "1",
		} {
			if task[field] != want {
				t.Errorf("thread %s: %s is %s, want %s", task["Pid"], field, task[field], want)
			}
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.a.cmd.Process.Pid))
	must(t, err)
	if i := strings.Index(string(limits), "Max core file size"); i < 0 || strings.Fields(string(limits)[i:])[4] != "0" {
		t.Errorf("limits:\n%s", limits)
	}
	if log := p.a.log(); !strings.Contains(log, `privileges are given up capabilities_left="DAC_READ_SEARCH NET_BIND_SERVICE NET_ADMIN NET_RAW" no_new_privileges=true core_dumps=off`) {
		t.Errorf("the log does not say so:\n%s", log)
	}
	// The reload reads the files again and opens other sockets.
	text, err := os.ReadFile(p.a.config)
	must(t, err)
	p.a.write("racoon2.conf", "interface { ike { MY_IP port 500; MY_IP port 4500; MY_IP port 501; }; metrics 127.0.0.1 port 99; spmd unix \""+
		p.a.dir+"/run/spmif\"; };\n"+string(text))
	must(t, p.a.cmd.Process.Signal(syscall.SIGHUP))
	waitFor(t, 20*time.Second, "the socket on port 501", func() bool {
		return slices.ContainsFunc(p.a.status().Sockets, func(s agent.SocketStatus) bool { return s.Address.Port() == 501 })
	})
	ping(t, p.left, p.src, p.dst, 20*time.Second)
	p.a.wantMetrics(99, `racoon2_remote_up{remote="peer"} 1`)
	p.a.kill(syscall.SIGTERM)
	if log := p.a.log(); !strings.Contains(log, "agent: ended") || strings.Contains(log, "INTERNAL_ERR") {
		t.Errorf("the end:\n%s", log)
	}
}

// wantMetrics scrapes an agent inside its namespace until a line is there.
func (r *racoon2) wantMetrics(port int, line string) {
	r.t.Helper()
	text := ""
	waitFor(r.t, 20*time.Second, "metrics with "+line, func() bool {
		must(r.t, r.in.Do(func() error {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
				return err
			}
			b, err := io.ReadAll(conn)
			text = string(b)
			return err
		}))
		return strings.Contains(text, line+"\n")
	})
}

// A script that makes a route while there is a tunnel, as scripts do: it is there
// when the tunnel is, and gone when the agent has ended. It has root's
// privileges, though the agent has given up its own.
func TestScripts(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "tunnel", false)
			script := filepath.Join(p.a.dir, "updown")
			must(t, os.WriteFile(script, []byte(`#!/bin/sh
/usr/bin/env -i /bin/cat /proc/$$/environ | /usr/bin/tr '\0' '\n' >>`+p.a.dir+`/events
echo "EVENT=$1" >>`+p.a.dir+`/events
/bin/grep -E 'CapEff|NoNewPrivs' /proc/$$/status >>`+p.a.dir+`/privileges
case "$1" in
phase2_up) /sbin/ip route add "$REMOTE_NET_ADDR/$REMOTE_NET_PREFIXLEN" dev wan metric 77 ;;
phase2_down) /sbin/ip route del "$REMOTE_NET_ADDR/$REMOTE_NET_PREFIXLEN" dev wan metric 77 ;;
esac
echo "done with $1 for $SELECTOR_INDEX"
`), 0o700))
			p.a.conf.IKE += fmt.Sprintf("script { ike_sa_up %[1]q; ike_sa_down %[1]q; child_up %[1]q; child_down %[1]q; child_rekey %[1]q; };", script)
			p.a.configure()
			p.start()
			ping(t, p.left, p.src, p.dst, 20*time.Second)
			routed := func() bool { return strings.Contains(p.a.routes(), "metric 77") }
			waitFor(t, 20*time.Second, "the script's route", routed)
			p.a.kill(syscall.SIGTERM)
			if routed() {
				t.Errorf("the route is still there:\n%s", p.a.routes())
			}
			got, err := os.ReadFile(filepath.Join(p.a.dir, "events"))
			must(t, err)
			ike := fmt.Sprintf("LOCAL_ADDR=%v\nLOCAL_PORT=500\nREMOTE_ADDR=%v\nREMOTE_PORT=500\n", p.left.outer, p.right.outer)
			local, remote := strings.Split(p.left.net, "/"), strings.Split(p.right.net, "/")
			child := fmt.Sprintf("LOCAL_ADDR=%v\nREMOTE_ADDR=%v\nSELECTOR_INDEX=out\nIPSEC_MODE=tunnel\nLOCAL_NET_ADDR=%s\nLOCAL_NET_PREFIXLEN=%s\nLOCAL_NET_PORT=0\n"+
				"REMOTE_NET_ADDR=%s\nREMOTE_NET_PREFIXLEN=%s\nREMOTE_NET_PORT=0\nUPPER_LAYER_PROTOCOL=any\nINTERNAL_ADDR4=\nINTERNAL_DNS4=\nINTERNAL_WINS4=\nINTERNAL_DHCP4=\n"+
				"INTERNAL_ADDR6=\nINTERNAL_DNS6=\nINTERNAL_DHCP6=\nAPPLICATION_VERSION=\n", p.left.outer, p.right.outer, local[0], local[1], remote[0], remote[1])
			want := ike + "EVENT=phase1_up\n" + child + "EVENT=phase2_up\n" + child + "EVENT=phase2_down\n" + ike + "EVENT=phase1_down\n"
			if string(got) != want {
				t.Errorf("events:\n%s\nwant\n%s", got, want)
			}
			privileges, err := os.ReadFile(filepath.Join(p.a.dir, "privileges"))
			must(t, err)
			if strings.Contains(string(privileges), keptCapabilities) || !strings.Contains(string(privileges), "NoNewPrivs:\t0") {
				t.Errorf("the script's privileges:\n%s", privileges)
			}
			if log := p.a.log(); !strings.Contains(log, "script says: done with phase2_up for out") || !strings.Contains(log, "no_new_privileges=false") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

// routes are the routes of an agent's host.
func (r *racoon2) routes() string {
	r.t.Helper()
	var out strings.Builder
	for _, family := range []string{"-4", "-6"} {
		cmd := r.in.Command(context.Background(), "ip", family, "route")
		text, err := cmd.CombinedOutput()
		must(r.t, err)
		out.Write(text)
	}
	return out.String()
}
