// Asks for several ranges of a URL and reads the answer as lazy-pulling snapshotters do, with Go's mime/multipart.
// Prints a line of JSON for the answer's head, one for each part, and one for the error that ended it.
//
//	byteranges URL RANGE
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"time"
)

func main() {
	out := json.NewEncoder(os.Stdout)
	if err := ask(out, os.Args[1], os.Args[2]); err != nil {
		out.Encode(map[string]string{"error": err.Error()})
	}
}

func ask(out *json.Encoder, url string, ranges string) error {
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Range", ranges)
	request.Header.Set("Accept-Encoding", "identity")
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	contentType := response.Header.Get("Content-Type")
	out.Encode(map[string]any{
		"status": response.StatusCode, "type": contentType, "length": response.ContentLength,
	})
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	if mediaType != "multipart/byteranges" {
		return part(out, response.Header.Get("Content-Range"), response.Body)
	}
	reader := multipart.NewReader(response.Body, parameters["boundary"])
	for {
		next, err := reader.NextPart()
		if err == io.EOF {
			// What comes after the last delimiter belongs to Content-Length as well.
			_, err = io.Copy(io.Discard, response.Body)
			return err
		}
		if err != nil {
			return err
		}
		if err := part(out, next.Header.Get("Content-Range"), next); err != nil {
			return err
		}
	}
}

func part(out *json.Encoder, contentRange string, body io.Reader) error {
	hash := sha256.New()
	if _, err := io.Copy(hash, body); err != nil {
		return err
	}
	return out.Encode(map[string]string{
		"range": contentRange, "sha256": fmt.Sprintf("%x", hash.Sum(nil)),
	})
}
