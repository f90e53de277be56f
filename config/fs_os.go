package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"syscall"
)

// osFiles is the operating system's FileSystem.
type osFiles struct{}

// ReadFile reads a regular file. The rules are checked on the open file, so
// that nothing can be put in its place between check and use.
func (osFiles) ReadFile(name string, owned bool) ([]byte, error) {
	// O_NONBLOCK: a FIFO in the file's place must not hold us up.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, bare(err)
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	if owned {
		if err := checkOwner(info); err != nil {
			return nil, err
		}
		if mode := info.Mode().Perm(); mode&0o002 != 0 { // whoever it belongs to
			return nil, fmt.Errorf("its mode is %04o: anybody can change it; make it %04o", mode, mode&^0o022)
		}
	}
	return readAll(f)
}

// ReadFile reads a regular file within the bound of configuration files. An error
// names neither the file nor the operation.
func ReadFile(name string) ([]byte, error) { return osFiles{}.ReadFile(name, false) }

// Glob returns the matching names, sorted.
func (osFiles) Glob(pattern string) ([]string, error) { return filepath.Glob(pattern) }

// Home returns a user's home directory.
func (osFiles) Home(name string) (string, error) {
	if name == "" {
		return os.UserHomeDir()
	}
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.HomeDir, nil
}

// What is wrong with a secret's file, for those who tell what to do about it.
var (
	ErrOpenToOthers = errors.New("others can reach the secret")
	ErrOwner        = errors.New("it belongs to another user")
)

// SecretError is a rule for the files of secrets that is broken.
type SecretError struct {
	Text string
	Kind error // ErrOpenToOthers or ErrOwner
}

func (e *SecretError) Error() string { return e.Text }
func (e *SecretError) Unwrap() error { return e.Kind }

// CheckSecretFile says whether the file at path is fit to hold a secret: a
// regular file that the running user owns and nobody else may touch. A nil
// error is yes; another one says which rule was broken, without the path.
func CheckSecretFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return bare(err)
	}
	return CheckSecret(info)
}

// CheckSecret is CheckSecretFile for a file that is already open: what its Stat
// returned is what will be read.
func CheckSecret(info fs.FileInfo) error {
	if err := checkRegular(info); err != nil {
		return err
	}
	if err := checkOwner(info); err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return &SecretError{fmt.Sprintf("its mode is %04o: others can reach the secret; make it 0600", mode), ErrOpenToOthers}
	}
	return nil
}

func checkRegular(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	return nil
}

// Owner returns the user and group that a file belongs to, where they are known.
func Owner(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}

func checkOwner(info fs.FileInfo) error {
	owner, _, ok := Owner(info)
	if !ok {
		return errors.New("its owner is not known")
	}
	if uid := os.Getuid(); owner != uid {
		return &SecretError{fmt.Sprintf("it belongs to user %d, not to the running user %d", owner, uid), ErrOwner}
	}
	return nil
}

// bare strips operation and path from an error; findings name the file themselves.
func bare(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
