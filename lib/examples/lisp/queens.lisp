; All ways to place queens on a board so that none attacks another: much garbage, little alive.

(define (safe? row distance placed)
  (if (null? placed)
      #t
      (if (= (car placed) row)
          #f
          (if (= (car placed) (+ row distance))
              #f
              (if (= (car placed) (- row distance))
                  #f
                  (safe? row (+ distance 1) (cdr placed)))))))

(define (place row size placed left)
  (if (= row size)
      0
      (+ (if (safe? row 1 placed) (solutions size (cons row placed) (- left 1)) 0)
         (place (+ row 1) size placed left))))

(define (solutions size placed left)
  (if (= left 0) 1 (place 0 size placed left)))

(print (solutions 7 '() 7))
