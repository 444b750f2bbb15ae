; A heap that grows and shrinks: trees are built, kept for a while and dropped; lists are sorted.

(define (tree depth)
  (if (= depth 0)
      '()
      (cons depth (cons (tree (- depth 1)) (tree (- depth 1))))))

(define (weight tree)
  (if (null? tree)
      0
      (+ (car tree) (+ (weight (car (cdr tree))) (weight (cdr (cdr tree)))))))

; What is alive rises to the deepest tree and falls again.
(define (wave depth deepest)
  (if (< depth deepest)
      (let ((kept (tree depth)))
        (wave (+ depth 1) deepest)
        (print (weight kept)))
      (print (weight (tree deepest)))))

(define (random seed) (remainder (+ (* seed 1103515245) 12345) 2147483648))

(define (numbers count seed)
  (let ((list '()))
    (define (next left seed)
      (if (= left 0)
          list
          (begin (set! list (cons seed list)) (next (- left 1) (random seed)))))
    (next count seed)))

(define (split list odd even)
  (if (null? list)
      (cons odd even)
      (split (cdr list) (cons (car list) even) odd)))

(define (append-reversed from to)
  (if (null? from) to (append-reversed (cdr from) (cons (car from) to))))

(define (merge a b merged)
  (if (null? a)
      (append-reversed merged b)
      (if (null? b)
          (append-reversed merged a)
          (if (< (car b) (car a))
              (merge a (cdr b) (cons (car b) merged))
              (merge (cdr a) b (cons (car a) merged))))))

(define (sort list)
  (if (null? list)
      list
      (if (null? (cdr list))
          list
          (let ((halves (split list '() '())))
            (merge (sort (car halves)) (sort (cdr halves)) '())))))

(define (nth list n) (if (= n 0) (car list) (nth (cdr list) (- n 1))))

(define (repeat times)
  (if (< 0 times)
      (begin
        (wave 4 15)
        (let ((sorted (sort (numbers 20000 times))))
          (print (nth sorted 0))
          (print (nth sorted 10000))
          (print (nth sorted 19999)))
        (repeat (- times 1)))
      'done))

(print (repeat 2))
