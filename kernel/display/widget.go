package display

import (
	"encoding/json"
	"maps"
	"sync"
)

// Widgets speak the protocol of Jupyter's interactive widgets, version 2.1
// (https://github.com/jupyter-widgets/ipywidgets/blob/main/packages/schema/messages.md):
// a model is a comm whose messages carry its state. A front end without them
// shows the static text and HTML that stand beside the view.

// MIMEWidget is the type of a widget's view in a [Bundle].
const MIMEWidget = "application/vnd.jupyter.widget-view+json"

const (
	widgetTarget  = "jupyter.widget"
	controlTarget = "jupyter.widget.control" // by which a page that was loaded anew asks for all models

	baseModule     = "@jupyter-widgets/base"
	controlsModule = "@jupyter-widgets/controls"
	widgetVersion  = "2.0.0" // of both modules
)

func init() { HandleComm(controlTarget, controlWidgets) }

// A model is one widget model in the front end: its state and its comm.
type model struct {
	comm *Comm

	mu    sync.Mutex
	state map[string]any
}

// models are the open models by their comm's id.
var models sync.Map

// newModel opens the model of a class. changed is called when the reader has
// changed its state, with the new values.
func newModel(module, name, view string, state map[string]any, changed func(map[string]any)) (*model, error) {
	viewModule := module
	if view == "StyleView" {
		viewModule = baseModule
	}
	m := &model{state: map[string]any{
		"_model_module": module, "_model_module_version": widgetVersion, "_model_name": name,
		"_view_module": viewModule, "_view_module_version": widgetVersion, "_view_name": view,
	}}
	maps.Copy(m.state, state)
	var err error
	m.comm, err = openComm(widgetTarget, stateMessage("", m.state), json.RawMessage(`{"version":"2.1.0"}`), func(data map[string]any) { m.receive(data, changed) })
	if err != nil {
		return nil, err
	}
	models.Store(m.comm.id, m)
	m.comm.ended = func() { models.Delete(m.comm.id) }
	return m, nil
}

// ref is how the state of one model names another.
func (m *model) ref() string { return "IPY_MODEL_" + m.comm.id }

func stateMessage(method string, state map[string]any) map[string]any {
	msg := map[string]any{"state": state, "buffer_paths": []any{}}
	if method != "" {
		msg["method"] = method
	}
	return msg
}

func (m *model) receive(data map[string]any, changed func(map[string]any)) {
	switch data["method"] {
	case "request_state":
		m.comm.Send(stateMessage("update", m.copy()))
	case "update":
		state, _ := data["state"].(map[string]any)
		if len(state) == 0 {
			return
		}
		m.mu.Lock()
		maps.Copy(m.state, state)
		m.mu.Unlock()
		m.comm.Send(stateMessage("echo_update", state)) // for other pages that show it
		if changed != nil {
			changed(state)
		}
	}
}

func (m *model) copy() map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.state)
}

// set changes the state from our side.
func (m *model) set(key string, v any) {
	m.mu.Lock()
	m.state[key] = v
	m.mu.Unlock()
	m.comm.Send(stateMessage("update", map[string]any{key: v}))
}

// controlWidgets answers a page that asks for the state of all models.
func controlWidgets(c *Comm, _ map[string]any) {
	c.Receive(func(data map[string]any) {
		if data["method"] != "request_states" {
			return
		}
		states := map[string]any{}
		models.Range(func(id, v any) bool {
			s := v.(*model).copy()
			states[id.(string)] = map[string]any{
				"model_name": s["_model_name"], "model_module": s["_model_module"], "model_module_version": s["_model_module_version"], "state": s,
			}
			return true
		})
		c.Send(map[string]any{"method": "update_states", "states": states, "buffer_paths": []any{}})
	})
}

// A control is what all widgets with a value have in common: a model, and an
// area below it for what the callback puts out.
type control struct {
	mu    sync.Mutex
	model *model // nil where the front end has no comms
	area  *area
}

// show shows a control: its view and, if there is a callback, its area, which
// begins with what the callback puts out for the first value.
func (c *control) show(name, view, style string, state map[string]any, static Bundle, changed func(map[string]any), callback func()) {
	pub, _ := publisher()
	c.mu.Lock()
	if c.model != nil {
		c.mu.Unlock()
		c.view(pub, static)
		return
	}
	c.mu.Unlock()
	m, err := c.open(name, view, style, state, changed)
	if err != nil { // no front end that could move it: as if it were shown on paper
		pub.Display(static, "", false)
		if callback != nil {
			callback()
		}
		return
	}
	c.mu.Lock()
	c.model = m
	c.mu.Unlock()
	c.view(pub, static)
	if callback != nil {
		a := newArea()
		c.mu.Lock()
		c.area = a
		c.mu.Unlock()
		m.comm.failed = a.fail
		c.run(callback)
	}
}

func (c *control) open(name, view, style string, state map[string]any, changed func(map[string]any)) (*model, error) {
	layout, err := newModel(baseModule, "LayoutModel", "LayoutView", nil, nil)
	if err != nil {
		return nil, err
	}
	look, err := newModel(controlsModule, style, "StyleView", nil, nil)
	if err != nil {
		return nil, err
	}
	state["layout"], state["style"] = layout.ref(), look.ref()
	return newModel(controlsModule, name, view, state, changed)
}

// view shows the control.
func (c *control) view(pub Publisher, static Bundle) {
	b := Bundle{}.with(static)
	b.set(MIMEWidget, map[string]any{"version_major": 2, "version_minor": 0, "model_id": c.model.comm.id})
	pub.Display(b, "", false)
}

// run runs the callback with its output in the area.
func (c *control) run(callback func()) {
	c.mu.Lock()
	a := c.area
	c.mu.Unlock()
	switch {
	case callback == nil:
	case a == nil:
		callback()
	default:
		a.run(callback)
	}
}

// put tells the front end of a value that code has set.
func (c *control) put(key string, v any) {
	c.mu.Lock()
	m := c.model
	c.mu.Unlock()
	if m != nil {
		m.set(key, v)
	}
}
