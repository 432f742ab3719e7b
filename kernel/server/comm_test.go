package server_test

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gonvex/gonvex/kernel/kerneltest"
	"github.com/gonvex/gonvex/kernel/server"
	"github.com/gonvex/gonvex/kernel/wire"
	"github.com/gonvex/gonvex/kernel/worker"
)

func startReal(t *testing.T) *kerneltest.Client {
	t.Helper()
	return kerneltest.Start(t, &server.Options{Worker: &worker.Options{Command: []string{os.Args[0], "worker"}, NoSpare: true}})
}

// published runs a cell and returns all that it published.
func published(t *testing.T, c *kerneltest.Client, code string) []*wire.Message {
	t.Helper()
	reply, all := c.Request("shell", "execute_request", wire.ExecuteRequest{Code: code})
	if field(t, reply, "status") != "ok" {
		t.Fatalf("%s: %s", code, reply.Content)
	}
	return all
}

// say sends a message that has no reply and returns what is published about it.
func say(t *testing.T, c *kerneltest.Client, msgType string, content any) []*wire.Message {
	t.Helper()
	id := c.Send("shell", msgType, content)
	var all []*wire.Message
	for {
		m := c.Next("iopub")
		if kerneltest.ParentOf(m) != id {
			continue
		}
		all = append(all, m)
		if kerneltest.StateOf(m) == "idle" {
			return all
		}
	}
}

func typesOf(ms []*wire.Message) string {
	var s []string
	for _, m := range ms {
		if m.Header.MsgType != "status" {
			s = append(s, m.Header.MsgType)
		}
	}
	return strings.Join(s, " ")
}

func openComms(t *testing.T, c *kerneltest.Client, target string) int {
	t.Helper()
	m, _ := c.Request("shell", "comm_info_request", wire.CommInfoRequest{TargetName: target})
	return len(field(t, m, "comms").(map[string]any))
}

func TestCommsOfTheKernel(t *testing.T) {
	c := startReal(t)
	all := published(t, c, `line, err := display.OpenComm("plot", map[string]any{"n": 1}, func(data map[string]any) { fmt.Println("got", data["x"]) })
if err != nil { panic(err) }
_ = line.Send(map[string]any{"y": []float64{1, 2}})`)
	if got := typesOf(all); got != "execute_input comm_open comm_msg" {
		t.Fatalf("published %s", got)
	}
	var open wire.CommOpen
	all[2].Unmarshal(&open)
	if open.TargetName != "plot" || string(open.Data) != `{"n":1}` {
		t.Errorf("%s", all[2].Content)
	}
	if n := openComms(t, c, "plot"); n != 1 {
		t.Errorf("%d comms of target plot", n)
	}
	got := say(t, c, "comm_msg", wire.CommMsg{CommID: open.CommID, Data: []byte(`{"x":5}`)})
	if typesOf(got) != "stream" || !strings.Contains(string(got[1].Content), "got 5") {
		t.Errorf("a message sets off %s", typesOf(got))
	}
	// An error of the receiver is told, and is not the end of the comm.
	published(t, c, `line.Receive(func(map[string]any) { panic("cannot") })`)
	if got := say(t, c, "comm_msg", wire.CommMsg{CommID: open.CommID, Data: []byte(`{}`)}); typesOf(got) != "error" {
		t.Errorf("a failing receiver: %s", typesOf(got))
	}
	if got := typesOf(published(t, c, "line.Close()\nline.Close()")); got != "execute_input comm_close" {
		t.Errorf("Close publishes %s", got)
	}
	if n := openComms(t, c, ""); n != 0 {
		t.Errorf("%d comms are open after the last was closed", n)
	}
	// What nobody knows is closed.
	if got := typesOf(say(t, c, "comm_msg", wire.CommMsg{CommID: open.CommID, Data: []byte(`{}`)})); got != "comm_close" {
		t.Errorf("a message to a closed comm: %s", got)
	}
}

func TestCommsOfTheFrontEnd(t *testing.T) {
	c := startReal(t)
	if got := typesOf(say(t, c, "comm_open", wire.CommOpen{CommID: "a", TargetName: "mine", Data: []byte(`{}`)})); got != "comm_close" {
		t.Errorf("without a handler: %s", got)
	}
	published(t, c, `display.HandleComm("mine", func(c *display.Comm, data map[string]any) {
	c.Receive(func(d map[string]any) { c.Send(map[string]any{"twice": 2 * d["x"].(float64)}) })
})`)
	say(t, c, "comm_open", wire.CommOpen{CommID: "b", TargetName: "mine", Data: []byte(`{}`)})
	if openComms(t, c, "mine") != 1 {
		t.Error("the comm is not listed")
	}
	got := say(t, c, "comm_msg", wire.CommMsg{CommID: "b", Data: []byte(`{"x":4}`)})
	if typesOf(got) != "comm_msg" || !strings.Contains(string(got[1].Content), `"twice":8`) {
		t.Errorf("%s", typesOf(got))
	}
	say(t, c, "comm_close", wire.CommClose{CommID: "b", Data: []byte(`{}`)})
	if openComms(t, c, "") != 0 {
		t.Error("the comm is still listed")
	}
}

func TestSlider(t *testing.T) {
	c := startReal(t)
	all := published(t, c, `pid := os.Getpid()
s := &display.Slider{Label: "β", Min: 1, Max: 9, Value: 4, OnChange: func(v float64) {
	if v > 8 { panic("too much") }
	fmt.Println("value", v)
	display.Show(display.HTML("<i>"+fmt.Sprint(v)+"</i>"))
}}
s.Show()`)
	if got := typesOf(all); got != "execute_input comm_open comm_open comm_open display_data display_data update_display_data" {
		t.Fatalf("published %s", got)
	}
	var open wire.CommOpen
	all[4].Unmarshal(&open)
	var data struct{ State map[string]any }
	json.Unmarshal(open.Data, &data)
	if string(all[4].Metadata) != `{"version":"2.1.0"}` || open.TargetName != "jupyter.widget" || data.State["_model_name"] != "FloatSliderModel" || data.State["value"] != 4.0 {
		t.Errorf("%s %s", all[4].Metadata, all[4].Content)
	}
	view := field(t, all[5], "data").(map[string]any)
	if v, _ := view["application/vnd.jupyter.widget-view+json"].(map[string]any); v["model_id"] != open.CommID {
		t.Errorf("view %v", view)
	}
	if text := view["text/plain"]; text != "β: 4 (1 … 9)" || view["text/html"] == nil {
		t.Errorf("the fallback is %v", view)
	}
	if s := string(all[7].Content); !strings.Contains(s, "value 4") || !strings.Contains(s, "<i>4</i>") {
		t.Errorf("the area begins with %s", s)
	}
	move := func(v float64) []*wire.Message {
		return say(t, c, "comm_msg", wire.CommMsg{CommID: open.CommID, Data: []byte(`{"method":"update","state":{"value":` + strconv.FormatFloat(v, 'g', -1, 64) + `},"buffer_paths":[]}`)})
	}
	got := move(6)
	if typesOf(got) != "comm_msg update_display_data" || !strings.Contains(string(got[1].Content), "echo_update") || !strings.Contains(string(got[2].Content), "<i>6</i>") {
		t.Errorf("a move publishes %s", typesOf(got))
	}
	if r := c.Execute("s.Get()"); r.Log != "[6]" {
		t.Errorf("Get gives %s", r.Log)
	}
	got = move(8.5)
	last := got[len(got)-2] // before idle: an error for who listens
	if s := string(got[len(got)-3].Content); !strings.Contains(s, "too much") || last.Header.MsgType != "error" {
		t.Errorf("a failing callback shows %s, then %s", s, typesOf(got))
	}
	if got := move(5); !strings.Contains(string(got[2].Content), "<i>5</i>") || strings.Contains(string(got[2].Content), "too much") {
		t.Errorf("after it: %s", got[2].Content)
	}
	// A page that is loaded anew asks for all there is.
	say(t, c, "comm_open", wire.CommOpen{CommID: "control", TargetName: "jupyter.widget.control", Data: []byte(`{}`)})
	got = say(t, c, "comm_msg", wire.CommMsg{CommID: "control", Data: []byte(`{"method":"request_states"}`)})
	if len(got) < 2 || strings.Count(string(got[1].Content), `"model_name"`) != 3 || !strings.Contains(string(got[1].Content), `"value":5`) {
		t.Errorf("request_states: %s", typesOf(got))
	}
	// The worker's death closes them, and says so.
	var pid int
	pid, _ = strconv.Atoi(strings.Trim(c.Execute("pid").Log, "[]"))
	id := c.Send("shell", "execute_request", wire.ExecuteRequest{Code: "fmt.Print(`on`)\nfor {}"})
	for m := c.Next("iopub"); m.Header.MsgType != "stream"; m = c.Next("iopub") {
	}
	syscall.Kill(pid, syscall.SIGKILL)
	closed := 0
	for m := c.Next("iopub"); kerneltest.StateOf(m) != "idle" || kerneltest.ParentOf(m) != id; m = c.Next("iopub") {
		if m.Header.MsgType == "comm_close" {
			closed++
		}
	}
	if closed != 4 {
		t.Errorf("%d comms were announced closed, want 4", closed)
	}
	c.Next("shell")
	if openComms(t, c, "") != 0 {
		t.Error("comm_info still lists them")
	}
}
