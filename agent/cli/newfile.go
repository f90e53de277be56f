package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// newFile is a file to write that must not be there yet.
type newFile struct {
	path string
	data []byte
}

// writeNew writes files that only their owner can read, or none of them: what is
// there already is never touched. Folders that are missing are made, for the owner alone.
func writeNew(files []newFile) (err error) {
	for _, f := range files {
		if _, err := os.Lstat(f.path); err == nil {
			return fmt.Errorf("%s is there already; it is not overwritten", f.path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var written []string
	defer func() {
		if err != nil {
			for _, path := range written {
				_ = os.Remove(path)
			}
		}
	}()
	for _, f := range files {
		if err = os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
		w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		written = append(written, f.path)
		_, err = w.Write(f.data)
		if err = errors.Join(err, w.Close()); err != nil {
			return err
		}
	}
	return nil
}
