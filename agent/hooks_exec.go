package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"racoon2/kernel/trace"
)

// The bounds of what a hook says that is logged.
const (
	maxHookLines = 100
	maxHookLine  = 1024 // octets
	// hookPipeTime is how long the output stays open after a hook's end for what
	// it has started and left.
	hookPipeTime = time.Second
)

// execHook runs hooks as processes.
type execHook struct {
	say func(h hook, tag trace.Tag, reason, text string, attrs ...trace.Attr)
}

// run runs one hook to its end: as execve(path, [path, event], env), in /, with
// nothing to read, and what it says going to the log. The end of ctx kills its
// process group.
func (x execHook) run(ctx context.Context, h hook) {
	if err := checkScript(h.path); err != nil {
		x.say(h, trace.InternalErr, reasonHookFailed, "a script is not run: "+err.Error())
		return
	}
	out := &hookOutput{line: func(text string) {
		x.say(h, trace.Info, "", "script says: "+text)
	}}
	cmd := exec.CommandContext(ctx, h.path)
	cmd.Args = []string{h.path, h.event.String()}
	cmd.Env = h.env
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = hookPipeTime
	began := time.Now()
	err := cmd.Run()
	out.end()
	took := trace.Attr{Key: "took", Value: time.Since(began).Truncate(time.Millisecond).String()}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		x.say(h, trace.InternalErr, reasonHookFailed, fmt.Sprintf("a script is killed: it ran for %v", hookTime))
	case ctx.Err() != nil:
		x.say(h, trace.InternalErr, reasonHookFailed, "a script is killed: the agent ends")
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		x.say(h, trace.InternalErr, reasonHookFailed, "a script failed: "+err.Error(), took)
	default:
		x.say(h, trace.Debug, reasonHook, "a script was run", took)
	}
}

// hookOutput passes on what a hook writes, line by line, as far as that is not
// too much. One goroutine writes.
type hookOutput struct {
	line  func(string)
	part  []byte // of a line
	lines int
	left  int // lines not passed on
}

// Write implements io.Writer; it never fails, so that the hook can go on.
func (o *hookOutput) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		text, after, ended := bytes.Cut(rest, []byte{'\n'})
		o.part = append(o.part, text[:min(len(text), maxHookLine-len(o.part))]...)
		if ended {
			o.pass()
		}
		rest = after
	}
	return len(data), nil
}

func (o *hookOutput) pass() {
	text := strings.TrimRight(string(o.part), "\r")
	o.part = o.part[:0]
	if o.lines++; o.lines > maxHookLines {
		o.left++
		return
	}
	o.line(text)
}

// end passes on a last line without an end.
func (o *hookOutput) end() {
	if len(o.part) > 0 {
		o.pass()
	}
	if o.left > 0 {
		o.line(strconv.Itoa(o.left) + " more lines are not logged")
	}
}

// checkScript refuses a file that others than root and this user could have
// written, for it runs with the agent's privileges. The error does not repeat
// the path.
func checkScript(path string) error {
	if !filepath.IsAbs(path) {
		return errors.New("it is not an absolute path")
	}
	whole, err := filepath.EvalSymlinks(path)
	if err != nil {
		return bare(err)
	}
	info, err := os.Stat(whole)
	switch {
	case err != nil:
		return bare(err)
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case info.Mode().Perm()&0o111 == 0:
		return errors.New("it is not executable")
	}
	if err := checkOwner(info, false); err != nil {
		return err
	}
	for dir := filepath.Dir(whole); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return bare(err)
		}
		// In a sticky folder others cannot replace what is not theirs.
		if err := checkOwner(info, info.Mode()&fs.ModeSticky != 0); err != nil {
			return fmt.Errorf("its folder %s: %w", dir, err)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// checkOwner refuses a file of others than root and this user, and one that
// others may write unless they are to be able to.
func checkOwner(info fs.FileInfo, open bool) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && st.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("it belongs to user %d, not to root or this one (%d)", st.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 && !open {
		return fmt.Errorf("others may write it (mode %04o): chmod go-w it", info.Mode().Perm())
	}
	return nil
}
