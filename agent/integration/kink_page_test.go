//go:build linux

package integration

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// room is a host with files of its own: /etc, /var/lib, /usr and /run are laid over
// those of this machine.
type room struct {
	t   *testing.T
	ns  *netlab.NS
	pid string // of the process that holds it
	dir string
}

// newRoom makes the host; packages is where something more is installed.
func newRoom(t *testing.T, ns *netlab.NS, name, packages string) *room {
	t.Helper()
	r := &room{t: t, ns: ns, dir: t.TempDir()}
	script := "set -e; hostname " + name + "; mount -t tmpfs run /run\n"
	for _, part := range []string{"etc", "var/lib", "usr"} {
		upper, work := filepath.Join(r.dir, part), filepath.Join(r.dir, "work", part)
		must(t, os.MkdirAll(upper, 0o755))
		must(t, os.MkdirAll(work, 0o755))
		lower := "/" + part
		if more := filepath.Join(packages, part); packages != "" {
			if _, err := os.Stat(more); err == nil {
				lower = more + ":" + lower
			}
		}
		script += fmt.Sprintf("mount -t overlay part -o lowerdir=%s,upperdir=%s,workdir=%s /%s\n", lower, upper, work, part)
	}
	cmd := ns.Command(context.Background(), "unshare", "--mount", "--uts", "sh", "-c", script+"echo ready; exec sleep infinity")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line := make([]byte, len("ready\n"))
	if _, err := out.Read(line); err != nil || string(line) != "ready\n" {
		t.Fatalf("the room of %s: %q, %v", name, line, err)
	}
	r.pid = fmt.Sprint(cmd.Process.Pid)
	return r
}

// command is one for the host's shell, with racoon2 in its path.
func (r *room) command(line string) *netlab.Cmd {
	r.t.Helper()
	path, err := program()
	must(r.t, err)
	cmd := r.ns.Command(context.Background(), "nsenter", "--target", r.pid, "--mount", "--uts", "--", "sh", "-c", "cd "+r.dir+" && "+line)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(path)+":/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C")
	return cmd
}

// run runs a command that ends, with what is typed.
func (r *room) run(line, typed string) string {
	r.t.Helper()
	cmd := r.command(line)
	cmd.Stdin = strings.NewReader(typed)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// begin runs a command that does not end before the test does.
func (r *room) begin(line string) {
	r.t.Helper()
	cmd := r.command("exec " + line)
	log, err := os.Create(filepath.Join(r.dir, "log"))
	must(r.t, err)
	cmd.Stdout, cmd.Stderr = log, log
	must(r.t, cmd.Start())
	log.Close()
	r.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if text, _ := os.ReadFile(filepath.Join(r.dir, "log")); r.t.Failed() {
			r.t.Logf("%s said:\n%s", line, text)
		}
	})
}

// file writes one of the host's files.
func (r *room) file(path, text string) {
	r.t.Helper()
	path = filepath.Join(r.dir, path)
	must(r.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(r.t, os.WriteFile(path, []byte(text), 0o600))
}

// page is "KINK in ten minutes" by its headings: the blocks in each, and the rows
// of its tables.
type page struct {
	blocks map[string][]string
	rows   map[string][][]string
}

func readPage(t *testing.T, path string) page {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	p := page{map[string][]string{}, map[string][][]string{}}
	heading, open := "", false
	for line := range strings.Lines(string(text)) {
		code, indented := strings.CutPrefix(line, "    ")
		switch {
		case strings.HasPrefix(line, "#"):
			heading = strings.Trim(line, "# \n")
		case strings.HasPrefix(line, "|"):
			p.rows[heading] = append(p.rows[heading], strings.Split(strings.Trim(line, "| \n"), " | "))
		case indented && open:
			p.blocks[heading][len(p.blocks[heading])-1] += code
			continue
		case indented:
			p.blocks[heading] = append(p.blocks[heading], code)
			open = true
			continue
		}
		open = false
	}
	return p
}

// under finds a heading by its beginning.
func (p page) under(t *testing.T, beginning string) []string {
	t.Helper()
	for heading, blocks := range p.blocks {
		if strings.HasPrefix(heading, beginning) {
			return blocks
		}
	}
	t.Fatalf("the page has nothing under %q", beginning)
	return nil
}

// sides exchanges a and b.
var sides = strings.NewReplacer("a.example.com", "b.example.com", "b.example.com", "a.example.com",
	"192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1", " b ", " a ", "_b ", "_a ", " b;", " a;")

// The page's files and commands, word for word, with a realm of either make. Only
// what starts a KDC is not its systemctl, and ping is the test's own.
func TestKINKInTenMinutes(t *testing.T) {
	needRoot(t)
	doc := readPage(t, "../../kink/TEN-MINUTES.md")
	for column, make := range []struct{ heading, packages, kadmin, daemon string }{
		{"MIT", "", "kadmin.local", "krb5kdc -n"},
		{"Heimdal", cmp.Or(os.Getenv(envHeimdal), defaultHeimdal), "kadmin.heimdal -l", "/usr/lib/heimdal-servers/kdc --config-file=/etc/heimdal-kdc/kdc.conf"},
	} {
		t.Run(make.heading, func(t *testing.T) {
			top := newTopology(t, "v4", false)
			k := joinKDC(t, top, "v4")
			kdc := newRoom(t, k.ns, "kdc.example.com", make.packages)
			hosts := map[string]*room{"a": newRoom(t, top.left.ns, "a.example.com", ""), "b": newRoom(t, top.right.ns, "b.example.com", "")}
			all := []*room{kdc, hosts["a"], hosts["b"]}
			for _, r := range all {
				r.file("etc/hosts", fmt.Sprintf("127.0.0.1 localhost\n192.0.2.1 a.example.com a\n192.0.2.2 b.example.com b\n%v kdc.example.com\n", k.addr))
			}

			commands := doc.under(t, make.heading)
			for _, r := range all { // "on all hosts"
				r.file("etc/krb5.conf", doc.under(t, "MIT")[0])
			}
			if make.heading == "MIT" {
				commands = commands[1:]
			} else {
				kdc.run("mkdir -p /var/lib/heimdal-kdc", "") // dpkg would
			}
			for _, block := range commands {
				for line := range strings.Lines(block) {
					if strings.HasPrefix(line, "systemctl start ") {
						kdc.begin(make.daemon)
						continue
					}
					kdc.run(strings.TrimSpace(line), "master\nmaster\n")
				}
			}
			waitFor(t, 20*time.Second, "the KDC to listen", k.listens)

			for _, row := range doc.rows["2. A principal and a keytab for each host"][2:] {
				line := strings.Trim(row[1+column], "`")
				kdc.run(make.kadmin, line+"\n"+sides.Replace(strings.ReplaceAll(line, "a.keytab", "b.keytab"))+"\n")
			}
			conf := doc.under(t, "3. racoon2.conf")[0]
			for name, text := range map[string]string{"a": conf, "b": sides.Replace(conf)} {
				keytab, err := os.ReadFile(filepath.Join(kdc.dir, name+".keytab"))
				must(t, err)
				hosts[name].file("etc/racoon2/keytab", string(keytab))
				hosts[name].file("etc/racoon2/racoon2.conf", text)
			}
			runPage(t, top, hosts, doc.under(t, "4. Run it"), make.heading == "MIT")
		})
	}
}

// runPage runs the commands on a while b runs, and compares what "kink check" says.
func runPage(t *testing.T, top *topology, hosts map[string]*room, blocks []string, exact bool) {
	t.Helper()
	w := top.watch(t)
	hosts["b"].begin("racoon2 run")
	running := func(r *room) {
		waitFor(t, 20*time.Second, "racoon2 to answer", func() bool { return r.command("racoon2 status").Run() == nil })
	}
	running(hosts["b"])
	a, ran := hosts["a"], 0
	for line := range strings.Lines(blocks[0]) {
		line, _, _ = strings.Cut(line, "#")
		switch line = strings.TrimSpace(line); line {
		case "racoon2 run":
			a.begin(line)
			running(a)
		case "ping b.example.com":
			ping(t, top.left, top.left.outer, top.right.outer, 20*time.Second)
		default:
			out := a.run(line, "")
			if line == "racoon2 kink check" && exact && flat(out) != flat(blocks[1]) {
				t.Errorf("kink check says\n%s, the page\n%s", out, blocks[1])
			}
			if line == "racoon2 kink status" && !strings.Contains(out, "kink/b.example.com@EXAMPLE.COM") {
				t.Errorf("kink status:\n%s", out)
			}
		}
		ran++
	}
	if ran != 5 {
		t.Errorf("%d commands were run", ran)
	}
	w.wantESP(netlab.ESP, 2)
}

// flat is a text without its line breaks.
func flat(text string) string {
	return regexp.MustCompile(`\s+`).ReplaceAllString(strings.TrimSpace(text), " ")
}
