package userspace

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// confPath has a directory of settings for each interface, and "all" and "default".
const confPath = "/proc/sys/net/ipv4/conf"

// strictFilter is rp_filter's value for RFC 3704 strict mode.
const strictFilter = "1"

// reverseFilter deals with strict reverse-path filters of outer interfaces.
// They drop IPv4 IKE and ESP from a peer whose address is protected too, since
// the way back to it leads to the device. The cure is a mark on those packets
// (guard.addMarks), and src_valid_mark, so that the filter looks at the mark.
type reverseFilter struct {
	strict bool
	where  []string // the interfaces
	valid  *os.File // src_valid_mark, kept open for restore
	old    string   // its value before
	failed error
}

// validNote is the comment of a rule that outlives a crash, and says what is to
// be restored.
const validNote = "net.ipv4.conf.all.src_valid_mark was 0"

// note is what is to be remembered of the value before, "" for nothing.
func (f *reverseFilter) note() string {
	if f.valid != nil && f.old == "0" {
		return validNote
	}
	return ""
}

// open finds out whether there are strict filters, and makes them look at marks.
// left says that an instance which crashed did so, and changed the value from 0.
func (f *reverseFilter) open(left bool) {
	paths, _ := filepath.Glob(filepath.Join(confPath, "*", "rp_filter"))
	for _, path := range paths {
		value, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(value)) == strictFilter {
			f.strict = true
			f.where = append(f.where, filepath.Base(filepath.Dir(path)))
		}
	}
	if !f.strict && !left {
		return
	}
	path := filepath.Join(confPath, "all", "src_valid_mark")
	value, err := os.ReadFile(path)
	f.old = strings.TrimSpace(string(value))
	if left && f.old == "1" {
		f.old = "0"
	}
	if err != nil || f.old == "1" {
		f.failed = err
		return
	}
	if f.valid, f.failed = os.OpenFile(path, os.O_WRONLY, 0); f.failed == nil {
		_, f.failed = f.valid.WriteAt([]byte("1"), 0)
	}
	if !f.strict { // what the crashed instance needed it for is gone
		f.failed = f.restore()
	}
}

// restore undoes open.
func (f *reverseFilter) restore() error {
	if f.valid == nil {
		return nil
	}
	_, err := f.valid.WriteAt([]byte(f.old), 0)
	f.valid.Close()
	f.valid = nil
	return err
}

// warnings says what strict filters will drop; marks says that the guard can mark.
func (f *reverseFilter) warnings(marks bool) []string {
	var why string
	switch {
	case !f.strict:
		return nil
	case f.failed != nil:
		why = fmt.Sprintf("net.ipv4.conf.all.src_valid_mark could not be set (%v)", f.failed)
	case !marks:
		why = "there is no nf_tables to mark them"
	default:
		return nil
	}
	return []string{fmt.Sprintf("The reverse-path filter is strict (net.ipv4.conf.%s.rp_filter = 1): IPv4 packets from peers whose own address is protected will be dropped, because %s; set rp_filter to 2.",
		strings.Join(f.where, ", "), why)}
}
