package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxFileSize bounds one file, and maxTotalSize all of them, in octets.
const (
	maxFileSize  = 16 << 20
	maxTotalSize = 64 << 20
)

// FileSystem is where configuration files come from.
type FileSystem interface {
	// ReadFile returns the content of a regular file. With owned it refuses one
	// that the running user does not own. The error says which rule was broken.
	ReadFile(name string, owned bool) ([]byte, error)
	// Glob returns the names that match, sorted (glob(3)).
	Glob(pattern string) ([]string, error)
	// Home returns the home directory of a user; "" is the running user.
	Home(user string) (string, error)
}

// errTooBig refuses a file beyond maxFileSize.
var errTooBig = fmt.Errorf("the file is larger than %d MB", maxFileSize>>20)

// readAll reads a file within the bound.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileSize {
		return nil, errTooBig
	}
	return data, nil
}

// Files is a FileSystem in memory, for tests: content by slash-separated name.
// Every file in it belongs to the running user.
type Files map[string]string

// ReadFile returns the content of the named file.
func (f Files) ReadFile(name string, _ bool) ([]byte, error) {
	content, ok := f[path.Clean(name)]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return readAll(strings.NewReader(content))
}

// Glob returns the names that match the pattern, sorted.
func (f Files) Glob(pattern string) ([]string, error) {
	pattern = path.Clean(pattern)
	var names []string
	for name := range f {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Home always fails: there are no users in memory.
func (f Files) Home(string) (string, error) {
	return "", errors.New("no home directories here")
}

// source is one file that was read, by lines.
type source struct {
	name string
	data []byte
	ends []int // offset behind each line
}

func newSource(name string, data []byte) *source {
	s := &source{name: name, data: data}
	for i, c := range data {
		if c == '\n' {
			s.ends = append(s.ends, i)
		}
	}
	s.ends = append(s.ends, len(data))
	return s
}

// maxShownLine is the longest line, in octets, that a finding shows.
const maxShownLine = 500

// line returns the text of line n, which counts from 1, without its end; a line
// that nobody would read is "".
func (s *source) line(n int) string {
	if n < 1 || n > len(s.ends) {
		return ""
	}
	start := 0
	if n > 1 {
		start = s.ends[n-2] + 1
	}
	if s.ends[n-1]-start > maxShownLine {
		return ""
	}
	return string(bytes.TrimSuffix(s.data[start:s.ends[n-1]], []byte("\r")))
}
